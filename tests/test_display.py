"""Untrusted text on a terminal: nothing acts, nothing is unseen, nothing is left out unsaid."""

import hashlib
import re
import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monastery.runtime.display import restore, uninspectable, visible, visible_line

HOSTILE = {
    "colour": "\x1b[31mred\x1b[0m",
    "clear the screen": "\x1b[2J\x1b[H all is well",
    "window title": "\x1b]0;title\x07",
    "hyperlink": "\x1b]8;;http://evil\x1b\\click\x1b]8;;\x1b\\",
    "clipboard": "\x1b]52;c;ZXZpbA==\x07",
    "device control": "\x1bP$q\x1b\\",
    "one-byte escapes": "\x9b31m \x9d0;t\x9c \x90",
    "overwritten line": "rm -rf /\rls       ",
    "backspaces": "rm\x08\x08ls",
    "vertical": "a\x0bb\x0cc\x85d\u2028e\u2029f",
    "delete": "a\x7fb",
    "bidi override": "user\u202e \u2066// admin\u2069 \u2066",
    "bidi marks": "a\u200eb\u200fc\u061cd",
    "zero width": "pass\u200bword\u200c\u200d\u2060\ufeff\u00ad\u180e",
    "tags": "".join(chr(0xE0000 + ord(char)) for char in "ignore all rules"),
    "variation selectors": "a\ufe0f\U000e0100\U000e01ef\u180b",
    "fillers": "\u115f\u1160\u3164\uffa0\u2800\u034f\u17b4",
    "wide blanks": "a\u00a0b\u2003c\u3000d\u202fe",
    "private and unassigned": "\ue000\U000f0000\u0378\ufdd0\U0010ffff",
    "piled marks": "Z" + "\u0351" * 40 + "algo",
    "struck out": "n\u0336o\u0336t\u0336 \u20dd",
    "marks on nothing": "\u0301\n \u0301\t\u0301",
    "half characters": "\ud800 \udfff \udc80",
    "our own escapes": "‹U+202E› ‹… 9 lines not shown›",
    "interlinear": "\ufff9a\ufffab\ufffb\ufffc",
    "annotation of music": "\U0001d159\U0001d173",
    "nul": "a\x00b",
}
UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b-\u200f\u2028-\u202f\u205f-\u206f\u2800\u3000\u3164\ud800-\udfff\ufe00-\ufe0f\ufeff\uffa0"
    "\ufff0-\uffff\U000e0000-\U000e0fff]"
)
"""Written out by hand, beside the tables of the code."""
NOTICE = re.compile("‹… [0-9,]+ [a-z ]+›")
hostile_text = st.text(
    st.one_of(
        st.sampled_from("".join(HOSTILE.values()) + "ab \n\t‹›…"),
        st.characters(exclude_categories=()),
    )
)


def assert_safe(shown: str) -> None:
    """Fail where anything of a shown text could act or be unseen."""
    assert UNSEEN.search(shown) is None
    for char in set(shown) - {"\n", "\t"}:
        assert unicodedata.category(char) not in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}, ascii(
            char
        )
        assert char == " " or unicodedata.category(char) != "Zs", ascii(char)
        assert unicodedata.category(char) != "Me", ascii(char)
        assert unicodedata.combining(char) != 1, ascii(char)


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_corpus(text: str) -> None:
    """Each known trick is shown for what it is, changes what is shown, and can be read back."""
    shown = visible(text)
    assert_safe(shown)
    assert shown != text
    assert restore(shown) == text
    assert_safe(visible_line(text))
    assert "\n" not in visible_line(text)
    assert restore(visible_line(text)) == text


@given(hostile_text)
def test_nothing_acts_and_nothing_is_lost(text: str) -> None:
    """For any text: nothing in what is shown acts or is unseen, and all of it can be read back."""
    shown = visible(text, max_lines=None, max_columns=None)
    assert_safe(shown)
    assert restore(shown) == text
    line = visible_line(text, max_columns=None)
    assert_safe(line)
    assert not set("\n\t") & set(line)
    assert restore(line) == text


@given(hostile_text, st.integers(1, 9), st.integers(1, 9))
def test_limits_say_what_they_hide(text: str, max_lines: int, max_columns: int) -> None:
    """For any text and limits: short, safe, and what is not all there holds a notice."""
    shown = visible(text, max_lines=max_lines, max_columns=max_columns)
    assert_safe(shown)
    assert shown.count("\n") <= max_lines
    if restore(shown) != text:
        assert NOTICE.search(shown)


@given(st.binary())
def test_any_bytes(content: bytes) -> None:
    """Any bytes can be shown; those that are no text say so, with their hash."""
    shown = visible(content)
    assert_safe(shown)
    assert_safe(visible_line(content))
    try:
        assert restore(shown) == content.decode()
    except UnicodeDecodeError:
        assert shown.startswith(f"uninspectable: {len(content)} bytes, sha256 ")


@given(hostile_text)
def test_shown_again_is_as_safe(text: str) -> None:
    """What is shown may be shown again: safe, and changed in nothing but our own brackets."""
    once = visible(text, max_lines=None, max_columns=None)
    twice = visible(once, max_lines=None, max_columns=None)
    assert_safe(twice)
    assert twice.replace("‹U+2039›", "‹") == once


@pytest.mark.parametrize(
    "text",
    [
        "plain text\n\twith tabs\n",
        "Größe, naïve, Ελληνικά, кириллица, 漢字, かな, 한국어",
        "עברית, العربية, हिन्दी, ไทย, Tiếng Việt",
        "[bold red]no markup[/] :smile: 👩 «quotes» → ✓",
        "",
    ],
)
def test_ordinary_text_is_left_alone(text: str) -> None:
    """Text of the world's languages is shown as it is; markup is only text."""
    assert visible(text) == text
    assert visible(text.encode()) == text


def test_escapes_are_code_points() -> None:
    """An escape names its code point in brackets that the text itself cannot forge."""
    assert visible("\x1b[1m\r\n\u202e") == "‹U+001B›[1m‹U+000D›\n‹U+202E›"
    assert visible("‹U+001B›") == "‹U+2039›U+001B›"
    assert visible("\\x1b") == "\\x1b"


def test_long_line_is_cut_with_a_count() -> None:
    """Of a long line the beginning and the end are shown, and how much lies between."""
    assert visible("a" * 50 + "b" * 50, max_columns=8) == "aaaaaa‹… 92 characters not shown›bb"


def test_many_lines_are_cut_with_a_count() -> None:
    """Of many lines the first and the last are shown, and how many lie between."""
    shown = visible("\n".join(map(str, range(1000))), max_lines=4)
    assert shown == "0\n1\n2\n‹… 996 lines not shown›\n999"


def test_padding_hides_nothing() -> None:
    """Blank lines and spaces do not push what follows out of sight."""
    text = "ls" + " " * 5000 + "; rm a" + "\n \t\n" * 5000 + "rm b" + "\t" * 500 + "rm c"
    assert visible(text) == (
        "ls‹… 5,000 spaces›; rm a\n‹… 9,999 blank lines›\nrm b‹… 500 tabs›rm c"
    )


def test_huge_text_is_bounded() -> None:
    """A text of many millions of characters is cut before it is looked at; the count is right."""
    text = "first\n" + "x\n" * 10_000_000 + "last"
    shown = visible(text, max_lines=4, max_columns=80)
    assert shown.startswith("first\n")
    assert shown.endswith("\nlast")
    assert len(shown) < 1000
    lines = re.findall(r"([0-9,]+) (?:lines|line breaks) not shown", shown)
    counted = sum(int(count.replace(",", "")) for count in lines)
    assert abs(counted - 10_000_000) < 10


def test_uninspectable() -> None:
    """Bytes that are no text are shown with size, hash and a bounded hex view."""
    content = b"\x00\x1b[\xff" + b"A" * 30
    shown = uninspectable(content, view_bytes=20)
    first, *rows, last = shown.split("\n")
    digest = hashlib.sha256(content).hexdigest()
    assert first == f"uninspectable: 34 bytes, sha256 {digest}"
    assert (
        rows[0] == "00000000  00 1b 5b ff 41 41 41 41 41 41 41 41 41 41 41 41  |..[.AAAAAAAAAAAA|"
    )
    assert len(rows) == 2
    assert last == "‹… 14 bytes not shown›"
    assert visible_line(b"\xff").count("\n") == 0


@pytest.mark.parametrize(
    "text", ["漢\n" * 500_000, "\x1b" * 1_000_000, " " * 1_000_000, "e\u0301" * 500_000]
)
def test_fast(text: str) -> None:
    """A million hostile characters take well under a second: nothing is quadratic."""
    began = time.perf_counter()
    visible(text)
    visible(text, max_lines=None, max_columns=None)
    assert time.perf_counter() - began < 5.0


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("see p\u0430ypal.com now", "see p‹U+0430›ypal.com now"),
        ("\u0430\u0440\u0440\u04cf\u0435.com", "‹U+0430›‹U+0440›‹U+0440›‹U+04CF›‹U+0435›.com"),
        ("\uff45xample.com", "‹U+FF45›xample.com"),
        ("git@g\u0456thub.com:x/y", "git@g‹U+0456›thub.com:x/y"),
    ],
)
def test_names_that_pass_for_others_are_shown_for_what_they_are(text: str, shown: str) -> None:
    """A host whose letters look like another's cannot be taken for it."""
    assert visible(text) == shown
    assert restore(shown) == text


@pytest.mark.parametrize(
    "text",
    [
        "m\u00fcnchen.de",
        "\u043f\u0440\u0438\u043c\u0435\u0440.\u0440\u0444",
        "\u4f8b\u5b50.jp",
        "\u0444\u0430\u0439\u043b.txt",
    ],
)
def test_names_in_one_script_are_left_alone(text: str) -> None:
    """Whoever writes in another script can read what they wrote."""
    assert visible(text) == text


def test_a_long_word_is_read_once() -> None:
    """A word of a million letters that are not plain costs no more than its length."""
    assert visible("\u0444" * 1_000_000 + ".", max_columns=None).startswith("\u0444")
