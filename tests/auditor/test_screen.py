"""What a terminal's screen makes of bytes: those of programs, and those that mean harm."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monastery.auditor.dig import screen as screens
from monastery.auditor.dig.screen import MOST_COLUMNS, MOST_ROWS, MOST_SCROLLED, Screen


def shown(data: bytes, rows: int = 5, columns: int = 20) -> list[str]:
    """Return the rows of a screen on which this was written, without the cursor."""
    screen = Screen(rows, columns)
    screen.feed(data)
    return text(screen)


def text(screen: Screen) -> list[str]:
    """Return a screen's rows down to the last that has anything, without the cursor."""
    screen.cursor_shown = False
    rows = ["".join(run for run, _ in row) for row in screen.lines()]
    while rows and not rows[-1]:
        rows.pop()
    return rows


@pytest.mark.parametrize(
    ("data", "rows"),
    [
        (b"one\r\ntwo", ["one", "two"]),
        (b"abc\x08\x08X", ["aXc"]),
        (b"a\tb", ["a       b"]),
        (b"x" * 25, ["x" * 20, "x" * 5]),
        (b"x" * 20 + b"\r\ny", ["x" * 20, "y"]),
        (b"abc\x1b[2D\x1b[K", ["a"]),
        (b"abc\x1b[1;2HX", ["aXc"]),
        (b"abcdef\x1b[3G\x1b[2P", ["abef"]),
        (b"abc\x1b[1G\x1b[2@", ["  abc"]),
        (b"abc\x1b[1G\x1b[2X", ["  c"]),
        (b"1\r\n2\r\n3\x1b[2;1H\x1b[L", ["1", "", "2", "3"]),
        (b"1\r\n2\r\n3\x1b[2;1H\x1b[M", ["1", "3"]),
        (b"1\r\n2\r\n3\x1b[1;1H\x1bMx", ["x", "1", "2", "3"]),
        (b"1\r\n2\r\n3\r\n4\x1b[2;3r\x1b[3;1H\n", ["1", "3", "", "4"]),
        (b"abc\x1b7\x1b[4;4Hx\x1b8d", ["abcd", "", "", "   x"]),
        (b"\x1b(0lqk\x1b(Blqk", ["┌─┐lqk"]),
        (b"shell\x1b[?1049h\x1b[Hvi\x1b[?1049l", ["shell"]),
        (b"abc\x1b[1G\x1b[4hX\x1b[4lY", ["XYbc"]),
        ("日本x\x1b[1;2HY".encode(), [" Y本x"]),
        ("e\u0301".encode(), ["e\u0301"]),
        (b"caf\xc3\xa9 \xff", ["café \ufffd"]),
        (b"abc\x1b[2Jx", ["   x"]),
        (b"abc\x1bcx", ["x"]),
    ],
)
def test_what_programs_write_is_where_they_mean_it(data: bytes, rows: list[str]) -> None:
    """Text, cursors, erasing, lines and letters that come and go, regions, the other screen."""
    assert shown(data) == rows


@pytest.mark.parametrize(
    "data",
    [
        b"\x1b]0;Approved\x07",
        b"\x1b]52;c;cm0gLXJm\x1b\\",
        b"\x1b]8;;https://evil.example\x07\x1b]8;;\x07",
        b"\x1bP1$qm\x1b\\",
        b"\x1b_Gf=100;AAAA\x1b\\",
        b"\x1b[6n\x1b[c\x1b[>c\x1b[5n\x1b]11;?\x07",
        b"\x1b[?1;2$y\x1b[1;2;3;4t\x1b[38;2;1m",
        b"\x1b[" + b"9;" * 500 + b"H",
        b"\x1b[99999999999999999999C\x1b[1G",
        b"\x1b[?" + b"1" * 5000 + b"h",
    ],
)
def test_what_a_terminal_would_obey_does_nothing(data: bytes) -> None:
    """Titles, clipboards, links, pictures, questions to the terminal, numbers without end."""
    assert shown(b"be\r" + data + b"beside") == ["beside"]


def test_nothing_is_hidden() -> None:
    """Concealed text is text, and letters have no background to vanish in."""
    screen = Screen(5, 40)
    screen.feed(b"\x1b[8msecret\x1b[0m \x1b[31;41mred\x1b[0m \x1b[38;5;16;48;5;16mblack\x1b[0m")
    assert text(screen) == ["secret red black"]
    assert {style.colour for _, style in screen.lines()[0]} == {-1, 1, 0}


def test_what_leaves_at_the_top_is_kept_up_to_a_bound() -> None:
    """Rows that scrolled away can be had; those of an editor's screen are not the shell's."""
    screen = Screen(5, 20)
    screen.feed(b"".join(b"%d\r\n" % number for number in range(10)))
    assert ["".join(run for run, _ in row) for row in screen.scrolled(0)] == list("012345")
    assert len(screen.scrolled(4)) == 2
    screen.feed(b"\x1b[?1049h" + b"x\r\n" * 100 + b"\x1b[?1049l")
    assert screen.scrolled_count == 6
    screen.feed(b"y\r\n" * (MOST_SCROLLED + 500))
    assert len(screen.scrolled(0)) == MOST_SCROLLED


def test_the_cursor_is_in_its_row_and_can_be_hidden() -> None:
    """Also where nothing is written, and when a program draws none."""
    screen = Screen(5, 20)
    screen.feed(b"ab\x1b[1;5H")
    assert [run for run, style in screen.lines()[0] if style.cursor] == [" "]
    screen.feed(b"\x1b[?25l")
    assert not any(style.cursor for row in screen.lines() for _, style in row)


def test_marks_without_end_and_strings_without_end_take_no_room() -> None:
    """A mountain of accents is not built on one letter; a string that never ends is not kept."""
    screen = Screen(5, 20)
    screen.feed(("a" + "\u0301" * 100_000).encode())
    assert max(len(cell[0]) for row in screen._cells for cell in row) <= 6
    screen.feed(b"\x1b]52;c;" + b"A" * 1_000_000)
    held = [value for value in vars(screen).values() if isinstance(value, str)]
    assert sum(map(len, held)) < 1000


@settings(max_examples=40)
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=60),
            st.sampled_from(
                [b"\x1b[", b"\x1b]", b"\x1bP", b"\x1b[?1049h", b"\x1b[?1049l", b"\x1b[2;3r"]
            ),
            st.from_regex(rb"\x1b\[[0-9;?]{0,9}[@-~]", fullmatch=True),
            st.tuples(st.integers(-5, 500), st.integers(-5, 500)),
            st.text("é日\u0301\u202e ab", max_size=9).map(str.encode),
        ),
        max_size=30,
    )
)
def test_whatever_comes_a_screen_keeps_its_shape(parts: list[bytes | tuple[int, int]]) -> None:
    """No bytes and no size break it: so many rows, each so wide, and the cursor among them."""
    screen = Screen(24, 80)
    for part in parts:
        if isinstance(part, tuple):
            screen.resize(*part)
        else:
            screen.feed(part)
        assert screens.LEAST_ROWS <= screen.rows == len(screen._cells) <= MOST_ROWS
        assert all(len(row) == screen.columns <= MOST_COLUMNS for row in screen._cells)
        row, column = screen.cursor
        assert 0 <= row < screen.rows
        assert 0 <= column < screen.columns
        assert "\x1b" not in "".join(text(screen))
