"""A terminal's screen, painted on another terminal: made visible first, with no escape but ours."""

from collections.abc import Sequence

from monastery.auditor.dig.screen import Row, Style
from monastery.runtime.display import visible_line

CLEAR = "\x1b[0m\x1b[2J"
ALONE, BACK = "\x1b[?1049h\x1b[?25l", "\x1b[0m\x1b[?25h\x1b[?1049l"
"""The terminal's other screen, without its cursor; and its own again."""


class Glass:
    """Paints what changed.

    Args:
        columns: How wide the terminal is.
        top: Its row on which the first row is painted, from 1.
    """

    def __init__(self, columns: int, top: int = 2) -> None:
        self._columns, self._top = columns, top
        self._painted: list[Row] = []

    def bar(self, text: str) -> str:
        """Return what paints our own line above."""
        return f"\x1b[1;1H\x1b[0;7m{text[: self._columns].ljust(self._columns)}\x1b[0m"

    def paint(self, rows: Sequence[Row]) -> str:
        """Return what paints the rows that changed."""
        painted = [
            f"\x1b[{self._top + number};1H\x1b[0m\x1b[2K{self._row(row)}"
            for number, row in enumerate(rows)
            if number >= len(self._painted) or self._painted[number] != row
        ]
        painted += [
            f"\x1b[{self._top + number};1H\x1b[0m\x1b[2K"
            for number in range(len(rows), len(self._painted))
        ]
        self._painted = list(rows)
        return "".join(painted)

    def _row(self, row: Row) -> str:
        """Return a row as far as it fits: what is made visible is longer than it was."""
        left, parts = self._columns, []
        for run, style in row:
            shown = visible_line(run, max_columns=None)
            cut = shown if len(shown) <= left else shown[: max(0, left - 1)] + "…"
            parts.append(f"{_escape(style)}{cut}\x1b[0m")
            left -= len(shown)
            if left <= 0:
                break
        return "".join(parts)


def plain(rows: Sequence[Row]) -> str:
    """Return rows as lines of text."""
    return "\n".join(
        visible_line("".join(run for run, _ in row), max_columns=None).rstrip() for row in rows
    )


def _escape(style: Style) -> str:
    codes = ["1"] * style.bold + ["4"] * style.underline
    codes += ["7"] * (style.inverse != style.cursor)
    if style.colour >= 0:
        codes.append(str(30 + style.colour if style.colour < 8 else 82 + style.colour))
    return f"\x1b[{';'.join(codes)}m" if codes else ""
