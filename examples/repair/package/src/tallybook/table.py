"""Aligned tables of text."""

from __future__ import annotations

from typing import Iterable, Sequence

from .accounts import depth_of, leaf_of
from .money import Amount

ELLIPSIS = "…"


def clipped(text: str, width: int) -> str:
    """Cut a text to a width; where something was cut, the last character is an ellipsis."""
    if len(text) <= width:
        return text
    return text[:width] + ELLIPSIS


def padded(text: str, width: int, align: str = "<") -> str:
    """Fill a text with spaces to a width: ``<`` left, ``>`` right, ``^`` centred."""
    if align == ">":
        return text.rjust(width)
    if align == "^":
        return text.center(width)
    return text.ljust(width)


def wrapped(text: str, width: int) -> list[str]:
    """Break a text between words into lines of at most a width; longer words are cut."""
    lines: list[str] = []
    line = ""
    for word in text.split():
        while len(word) > width:
            if line:
                lines.append(line)
                line = ""
            lines.append(word[:width])
            word = word[width:]
        if not word:
            continue
        if line and len(line) + 1 + len(word) > width:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}" if line else word
    if line:
        lines.append(line)
    return lines


class Table:
    """Rows of cells under headings."""

    def __init__(self, headings: Sequence[str], align: str = "", max_width: int = 40) -> None:
        self.headings = list(headings)
        self.align = align.ljust(len(self.headings), "<")
        self.max_width = max_width
        self.rows: list[list[str]] = []

    def add(self, *cells: object) -> None:
        """Add a row; cells that are missing are empty.

        Raises:
            ValueError: when there are more cells than headings.
        """
        if len(cells) > len(self.headings):
            raise ValueError(f"{len(cells)} cells for {len(self.headings)} headings")
        missing = len(self.headings) - len(cells)
        self.rows.append([str(cell) for cell in cells] + [""] * missing)

    def widths(self) -> list[int]:
        """Return the width of each column."""
        columns = zip(self.headings, *self.rows)
        return [min(max(len(cell) for cell in column), self.max_width) for column in columns]

    def lines(self) -> list[str]:
        """Return the table line by line, without spaces at the ends."""
        widths = self.widths()
        rule = ["-" * width for width in widths]
        rows = [self.headings, rule, *self.rows]
        return [self._line(row, widths) for row in rows]

    def _line(self, row: Sequence[str], widths: Sequence[int]) -> str:
        cells = [
            padded(clipped(cell, width), width, align)
            for cell, width, align in zip(row, widths, self.align)
        ]
        return "  ".join(cells).rstrip()

    def __str__(self) -> str:
        return "\n".join(self.lines())


def account_tree(sums: dict[str, Amount], indent: int = 4) -> str:
    """Print the balances of accounts as an indented tree."""
    table = Table(["account", "balance"], "<>")
    for name in sorted(sums):
        table.add(" " * indent * (depth_of(name) - 1) + leaf_of(name), sums[name])
    return str(table)


def csv_line(cells: Iterable[object]) -> str:
    """Return a line of comma-separated values, quoted where needed."""
    quoted = []
    for cell in cells:
        text = str(cell)
        if any(mark in text for mark in ',"\n'):
            text = '"' + text.replace('"', '""') + '"'
        quoted.append(text)
    return ",".join(quoted)
