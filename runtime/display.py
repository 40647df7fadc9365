"""Untrusted text made safe to show on a terminal or a page, with nothing hidden that is not said.

What cannot be seen, or would move what can be seen, is written as its code point: ``‹U+001B›``.
The bracket ``‹`` is never anything but ours: one in the text itself is written ``‹U+2039›``. So
what is shown can be read back exactly (`restore`), except where a notice in the same brackets says
how much is left out. Callers that use rich wrap the result in `rich.text.Text`, which interprets
no markup.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator
from itertools import groupby

_LOUD = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs", "Me"))
"""Categories that show nothing, or not what they are; the plain space is let through."""

_UNSEEN = frozenset(
    # Letters, marks and symbols that are drawn as nothing (Unicode's Default_Ignorable_Code_Point
    # beyond category Cf, and three blanks that it does not name).
    {0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180F, 0x2800, 0x3164, 0xFFA0, 0xFFFC, 0x1D159}
    | {*range(0x180B, 0x180E), *range(0xFE00, 0xFE10), *range(0xE0000, 0xE1000)}
)
_BRACKET = 0x2039
_MARKS_IN_A_ROW = 3
"""So many marks may stand on one letter; more would grow into the lines around it."""
_BLANK_LINES = 8
_BLANK_COLUMNS = 120
_MOST_CHARACTERS = 4 << 20
"""With limits on, more than this of a text is not even split into lines."""
_WIDE_BLANK = re.compile(rf" {{{_BLANK_COLUMNS},}}|\t{{{_BLANK_COLUMNS // 8},}}")
_NAME = re.compile(r"(?<![\w.-])[\w-]++(?:\.[\w-]++)+")
"""A name with dots in it. Possessive, so that a long word is read once."""
_LOOK_ALIKES = frozenset("аеорсухіјѕһӏԁԛԝАВЕКМНОРСТУХІЈЅαικνορυχΑΒΕΖΗΙΚΜΝΟΡΤΥΧօսոհցք")
"""Letters of Cyrillic, Greek and Armenian that are drawn like plain ones."""
_ESCAPE = re.compile("‹U\\+([0-9A-F]{4,6})›")


def visible(
    content: str | bytes, *, max_lines: int | None = 400, max_columns: int | None = 2000
) -> str:
    """Return untrusted text in a form that is safe to show; newlines and tabs stay.

    Args:
        content: Bytes must be UTF-8; others are shown as uninspectable, with a bounded hex view.
        max_lines: Of more lines the first three quarters and the last quarter of this are shown,
            and long runs of blank lines count as one; None shows all.
        max_columns: Of longer lines the same parts are shown, and long runs of blanks count as
            one; None shows all.
    """
    if isinstance(content, bytes):
        if (text := _decoded(content)) is None:
            return uninspectable(content)
    else:
        text = content
    limit = None if max_lines is None or max_columns is None else _MOST_CHARACTERS
    head, tail = _ends(len(text), limit)
    if head == tail:
        return "\n".join(_lines(text, max_lines, max_columns))
    breaks = text.count("\n", head, tail)
    notice = f"‹… {tail - head:,} characters with {breaks:,} line breaks not shown›"
    half = None if max_lines is None else max(1, max_lines // 2)
    ends = [_lines(end, half, max_columns) for end in (text[:head], text[tail:])]
    return "\n".join((*ends[0], notice, *ends[1]))


def visible_line(content: str | bytes, *, max_columns: int | None = 200) -> str:
    """Return untrusted text as one safe line; newlines and tabs are made visible too."""
    if isinstance(content, bytes):
        if (text := _decoded(content)) is None:
            return uninspectable(content, view_bytes=0)
    else:
        text = content
    return _line(text, max_columns, _Table({0x09: _escape(0x09), 0x0A: _escape(0x0A)}))


def uninspectable(content: bytes, *, view_bytes: int = 512) -> str:
    """Say of bytes that are not text what they are, with a view of their beginning."""
    digest = hashlib.sha256(content).hexdigest()
    lines = [f"uninspectable: {len(content):,} bytes, sha256 {digest}"]
    for start in range(0, min(len(content), view_bytes), 16):
        row = content[start : min(start + 16, view_bytes)]
        text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in row)
        lines.append(f"{start:08x}  {row.hex(' '):<47}  |{text}|")
    if 0 < view_bytes < len(content):
        lines.append(f"‹… {len(content) - view_bytes:,} bytes not shown›")
    return "\n".join(lines)


def restore(shown: str) -> str:
    """Return the text that `visible` was given, if it left nothing out."""
    return _ESCAPE.sub(lambda match: chr(int(match[1], 16)), shown)


class _Table(dict[int, str]):
    """Maps code points for `str.translate`, deciding on each when it first comes up.

    Made anew for each text, so that a text with every code point fills no lasting memory.
    """

    marks = False

    def __missing__(self, code: int) -> str:
        char = chr(code)
        category = unicodedata.category(char)
        if 0x20 <= code < 0x7F or char in "\n\t":
            shown = char
        elif (
            category in _LOUD
            or code in _UNSEEN
            or code == _BRACKET
            or unicodedata.combining(char) == 1
        ):
            shown = _escape(code)
        else:
            shown = char
            self.marks = self.marks or category == "Mn"
        self[code] = shown
        return shown


def _decoded(content: bytes) -> str | None:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return None


def _escape(code: int) -> str:
    return f"‹U+{code:04X}›"


class _Notice(str):
    """A line of ours among those of the text."""

    __slots__ = ()


def _lines(text: str, max_lines: int | None, max_columns: int | None) -> Iterator[str]:
    """Yield the safe lines of a text, with notices for those left out."""
    table = _Table()
    lines = text.split("\n")
    if max_lines is not None:
        lines = list(_without_blank_runs(lines))
    head, tail = _ends(len(lines), max_lines)
    for line in lines[:head]:
        yield line if isinstance(line, _Notice) else _line(line, max_columns, table)
    if head < tail:
        yield f"‹… {tail - head:,} lines not shown›"
    for line in lines[tail:]:
        yield line if isinstance(line, _Notice) else _line(line, max_columns, table)


def _without_blank_runs(lines: Iterable[str]) -> Iterator[str]:
    """Yield lines, and one notice for each long run of blank ones."""
    for blank, run in groupby(lines, key=lambda line: not line.strip(" \t")):
        same = list(run)
        if blank and len(same) > _BLANK_LINES:
            yield _Notice(f"‹… {len(same):,} blank lines›")
        else:
            yield from same


def _line(line: str, max_columns: int | None, table: _Table) -> str:
    """Return one line made safe, cut to its ends when it is too long."""
    if max_columns is None:
        return _safe(line, table)
    pieces: list[str] = []
    end = 0
    for match in _WIDE_BLANK.finditer(line):
        kind = "spaces" if match[0][0] == " " else "tabs"
        pieces += (line[end : match.start()], f"‹… {len(match[0]):,} {kind}›")
        end = match.end()
    pieces.append(line[end:])
    if sum(len(piece) for piece in pieces) <= max_columns:
        # Every second piece is a notice.
        return "".join(
            piece if number % 2 else _safe(piece, table) for number, piece in enumerate(pieces)
        )
    head, tail = _ends(len(line), max_columns)
    notice = f"‹… {tail - head:,} characters not shown›" if head < tail else ""
    return _safe(line[:head], table) + notice + _safe(line[tail:], table)


def _safe(text: str, table: _Table) -> str:
    """Return text with everything made visible that is not."""
    if text.isascii() and text.isprintable():
        return text
    shown = _NAME.sub(lambda match: _unmasked(match[0]), text.translate(table))
    return _thinned(shown) if table.marks else shown


def _unmasked(name: str) -> str:
    """Return a dotted name, of a host say, with the letters escaped that pass for others.

    A label deceives if it mixes plain letters with those of another script, if all of its letters
    look like plain ones, or if it has other forms of plain letters. A label in one script does not.
    """
    return ".".join(map(_unmasked_label, name.split(".")))


def _unmasked_label(label: str) -> str:
    foreign = {char for char in label if not char.isascii() and char.isalpha()}
    foreign = {char for char in foreign if not unicodedata.name(char, "").startswith("LATIN SMALL")}
    plain = any(char.isascii() and char.isalpha() for char in label)
    forms = {char for char in foreign if unicodedata.normalize("NFKC", char).isascii()}
    if foreign and (plain or foreign <= _LOOK_ALIKES):
        forms = foreign
    return "".join(_escape(ord(char)) if char in forms else char for char in label)


def _thinned(text: str) -> str:
    """Return text with marks escaped that have no letter to stand on, or are piled up."""
    parts: list[str] = []
    marks = _MARKS_IN_A_ROW  # at the start there is no letter
    for char in text:
        if unicodedata.category(char) == "Mn":
            marks += 1
            parts.append(char if marks <= _MARKS_IN_A_ROW else _escape(ord(char)))
        else:
            marks = 0 if char not in " \t›" else _MARKS_IN_A_ROW
            parts.append(char)
    return "".join(parts)


def _ends(length: int, limit: int | None) -> tuple[int, int]:
    """Return where the beginning to show ends, and where the end to show begins."""
    if limit is None or length <= limit:
        return length, length
    tail = limit // 4 or limit // 2
    return limit - tail, length - tail
