"""What a terminal shows: bytes of strangers in, rows of characters with a few styles out.

Knows what shells, editors and pagers use of ECMA-48 and xterm, and no more. Whatever else comes is
skipped without being kept: titles, clipboards, links and pictures are such strings. Nothing is ever
answered to a program, nothing is hidden (concealed text is shown, backgrounds are not), and each
state has a bound. Rows are not made safe to show; that is the business of who shows them.
"""

import codecs
import re
import unicodedata
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import NamedTuple

from monastery.auditor.dig.colours import nearest

MOST_ROWS, MOST_COLUMNS = 120, 300
LEAST_ROWS, LEAST_COLUMNS = 4, 20
MOST_SCROLLED = 2000
"""So many rows that left the screen at its top are kept."""
_MOST_MARKS = 4
"""So many marks stand on one character; others stand alone, where they can be seen."""
_MOST_PARAMETERS = 64

_PLAIN = re.compile(r"[^\x00-\x1f\x7f-\x9f]+")
_STRING_ENDS = re.compile("[\x07\x18\x1a\x1b\x9c]")
_LINES = str.maketrans("`afgjklmnopqrstuvwxyz{|}~", "◆▒°±┘┐┌└┼⎺⎻─⎼⎽├┤┴┬│≤≥π≠£·")
"""What terminals draw for letters in the set for lines."""


class Style(NamedTuple):
    """How characters look; `colour` is one of 16, or -1 for that of the page."""

    colour: int = -1
    bold: bool = False
    underline: bool = False
    inverse: bool = False
    cursor: bool = False


PLAIN = Style()
Cell = tuple[str, Style]
Run = tuple[str, Style]
Row = tuple[Run, ...]
_BLANK: Cell = (" ", PLAIN)


class Screen:
    """A terminal's screen.

    Attributes:
        rows: How many.
        columns: How many.
        cursor_shown: Whether the program wants its cursor seen.
        application_keys: Whether arrow keys are sent in their other form.
        brackets_paste: Whether pasted text is to be told from what is typed.
        scrolled_count: How many rows have left at the top.
    """

    def __init__(self, rows: int, columns: int) -> None:
        self.rows, self.columns = bounded(rows, columns)
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._scrolled: deque[list[Cell]] = deque(maxlen=MOST_SCROLLED)
        self.scrolled_count = 0
        self._state: Callable[[str], None] = self._control
        self._reset()

    def _reset(self) -> None:
        self.cursor_shown, self.application_keys, self.brackets_paste = True, False, False
        self._cells = self._blank_rows(self.rows)
        self._main: list[list[Cell]] | None = None  # kept while a program has the other screen
        self._row = self._column = 0
        self._saved = (0, 0, PLAIN)
        self._style = PLAIN
        self._top, self._bottom = 0, self.rows - 1
        self._inserts = False
        self._line_sets, self._shifted = [False, False], 0
        self._parameters = ""

    def _blank_rows(self, count: int) -> list[list[Cell]]:
        return [[_BLANK] * self.columns for _ in range(count)]

    @property
    def cursor(self) -> tuple[int, int]:
        """Where the cursor is: row and column, from 0."""
        return self._row, min(self._column, self.columns - 1)

    def lines(self) -> list[Row]:
        """Return the rows of the screen, with the cursor; other blanks at their ends are not."""
        rows = list(self._cells)
        if self.cursor_shown:
            row, column = self.cursor
            text, style = rows[row][column]
            rows[row] = list(rows[row])
            rows[row][column] = (text or " ", style._replace(cursor=True))
        return [_runs(cells) for cells in rows]

    def scrolled(self, since: int) -> list[Row]:
        """Return the rows that left at the top after so many had; the oldest are forgotten."""
        count = min(self.scrolled_count - since, len(self._scrolled))
        start = len(self._scrolled) - count
        return [_runs(cells) for cells in islice(self._scrolled, start, None)]

    def resize(self, rows: int, columns: int) -> None:
        """Make it larger or smaller; what no longer fits at the top is scrolled away."""
        rows, columns = bounded(rows, columns)
        blank = [_BLANK] * max(0, columns - self.columns)
        for screen in filter(None, (self._cells, self._main)):
            for cells in screen:
                cells[columns:] = blank
        self.columns = columns
        while len(self._cells) > rows:
            if self._row < len(self._cells) - 1 and not any(self._cells[-1][0][0].strip()):
                self._cells.pop()
            else:
                self._keep(self._cells.pop(0))
                self._row = max(0, self._row - 1)
        self._cells += self._blank_rows(rows - len(self._cells))
        if self._main is not None:
            self._main = (self._main + self._blank_rows(max(0, rows - len(self._main))))[:rows]
        self.rows = rows
        self._top, self._bottom = 0, rows - 1
        self._move(self._row, self._column)

    def feed(self, data: bytes) -> None:
        """Show what a program wrote."""
        text, at = self._decode(data), 0
        while at < len(text):
            if self._state == self._control:
                plain = _PLAIN.match(text, at)
                if plain is not None:
                    self._write(plain[0])
                    at = plain.end()
                    continue
            elif self._state == self._string:
                end = _STRING_ENDS.search(text, at)
                if end is None:
                    return
                at = end.start()
            self._state(text[at])
            at += 1

    # What is written.

    def _write(self, text: str) -> None:
        if self._line_sets[self._shifted]:
            text = text.translate(_LINES)
        if not text.isascii() or self._inserts:
            for character in text:
                self._write_one(character)
            return
        while text:
            if self._column >= self.columns:
                self._wrap()
            room = self.columns - self._column
            part, text = text[:room], text[room:]
            end = self._column + len(part)
            self._unpair(self._column)
            self._unpair(end)
            self._cells[self._row][self._column : end] = [(one, self._style) for one in part]
            self._column = end

    def _write_one(self, character: str) -> None:
        if unicodedata.category(character) in ("Mn", "Me") and self._column:
            cells, at = self._cells[self._row], self._column - 1
            under, style = cells[at]
            if under and len(under) <= _MOST_MARKS:
                cells[at] = (under + character, style)
                return
        width = 2 if unicodedata.east_asian_width(character) in "WF" else 1
        if self._column + width > self.columns:
            self._wrap()
        if self._inserts:
            self._insert_blanks(width)
        cells = self._cells[self._row]
        self._unpair(self._column)
        self._unpair(self._column + width)
        cells[self._column] = (character, self._style)
        if width == 2:
            cells[self._column + 1] = ("", self._style)
        self._column += width

    def _unpair(self, column: int) -> None:
        """See that what begins at a column does not halve a wide character."""
        cells = self._cells[self._row]
        if 0 < column < self.columns and not cells[column][0]:
            cells[column - 1] = cells[column] = _BLANK

    def _wrap(self) -> None:
        self._column = 0
        self._index()

    def _index(self) -> None:
        """Go a row down; at the end of the region it scrolls."""
        if self._row == self._bottom:
            self._scroll_up(1)
        elif self._row < self.rows - 1:
            self._row += 1

    def _reverse_index(self) -> None:
        if self._row == self._top:
            self._scroll_down(1)
        elif self._row:
            self._row -= 1

    def _scroll_up(self, count: int) -> None:
        for _ in range(min(count, self._bottom - self._top + 1)):
            gone = self._cells.pop(self._top)
            if self._top == 0:
                self._keep(gone)
            self._cells.insert(self._bottom, [_BLANK] * self.columns)

    def _scroll_down(self, count: int) -> None:
        for _ in range(min(count, self._bottom - self._top + 1)):
            self._cells.pop(self._bottom)
            self._cells.insert(self._top, [_BLANK] * self.columns)

    def _keep(self, cells: list[Cell]) -> None:
        """Keep a row that left; what an editor scrolls is not the story of the shell."""
        if self._main is None:
            self._scrolled.append(cells)
            self.scrolled_count += 1

    def _move(self, row: int, column: int) -> None:
        self._row = min(max(row, 0), self.rows - 1)
        self._column = min(max(column, 0), self.columns - 1)

    # States: each takes one character.

    def _control(self, character: str) -> None:
        match character:
            case "\x1b":
                self._state = self._escape
            case "\n" | "\v" | "\f" | "\x84":
                self._index()
            case "\x85":
                self._wrap()
            case "\r":
                self._column = 0
            case "\b":
                self._column = max(0, min(self._column, self.columns - 1) - 1)
            case "\t":
                self._column = min((self._column // 8 + 1) * 8, self.columns - 1)
            case "\x0e" | "\x0f":
                self._shifted = int(character == "\x0e")
            case "\x8d":
                self._reverse_index()
            case "\x9b":
                self._begin_sequence()
            case "\x90" | "\x98" | "\x9d" | "\x9e" | "\x9f":
                self._state = self._string

    def _escape(self, character: str) -> None:
        self._state = self._control
        match character:
            case "[":
                self._begin_sequence()
            case "]" | "P" | "X" | "^" | "_" | "k":
                self._state = self._string
            case "(" | ")":
                self._state = self._first_set if character == "(" else self._second_set
            case "*" | "+" | "-" | "." | "/" | "#" | "%" | " ":
                self._state = self._skip_one
            case "7":
                self._saved = (self._row, self._column, self._style)
            case "8":
                self._restore()
            case "D":
                self._index()
            case "E":
                self._wrap()
            case "M":
                self._reverse_index()
            case "c":
                self._reset()
            case "\x1b":
                self._state = self._escape
            case _ if character < " ":
                self._control(character)

    def _string(self, character: str) -> None:
        """Skip a string: where it ends is all that matters."""
        self._state = self._escape if character == "\x1b" else self._control

    def _skip_one(self, character: str) -> None:
        self._state = self._control

    def _first_set(self, character: str) -> None:
        self._line_sets[0] = character == "0"
        self._state = self._control

    def _second_set(self, character: str) -> None:
        self._line_sets[1] = character == "0"
        self._state = self._control

    def _begin_sequence(self) -> None:
        self._parameters = ""
        self._state = self._sequence

    def _sequence(self, character: str) -> None:
        if "@" <= character <= "~":
            self._state = self._control
            if len(self._parameters) <= _MOST_PARAMETERS:
                self._do(character, self._parameters)
        elif character in "\x18\x1a":
            self._state = self._control
        elif character == "\x1b":
            self._state = self._escape
        elif character < " ":
            self._control(character)
        elif len(self._parameters) <= _MOST_PARAMETERS:
            self._parameters += character

    # Sequences.

    def _do(self, final: str, parameters: str) -> None:
        """Do what a control sequence asks, if it is one of those that are known."""
        private = parameters[:1] if parameters[:1] in tuple("<=>?") else ""
        given = _numbers(parameters[len(private) :])
        if given is None:
            return
        if private:
            if private == "?" and final in "hl":
                for number in given:
                    self._set_private(number, on=final == "h")
            return
        first = given[0]
        count = max(1, first)
        match final:
            case "A":
                self._move(max(self._row - count, self._top), self._column)
            case "B" | "e":
                self._move(min(self._row + count, self._bottom), self._column)
            case "C" | "a":
                self._move(self._row, self._column + count)
            case "D":
                self._move(self._row, min(self._column, self.columns - 1) - count)
            case "E":
                self._move(self._row + count, 0)
            case "F":
                self._move(self._row - count, 0)
            case "G" | "`":
                self._move(self._row, count - 1)
            case "d":
                self._move(count - 1, self._column)
            case "H" | "f":
                self._move(count - 1, max(1, given[1] if len(given) > 1 else 1) - 1)
            case "J":
                self._erase_screen(first)
            case "K":
                self._erase_line(first)
            case "L" | "M":
                self._change_lines(count, inserts=final == "L")
            case "@":
                self._insert_blanks(count)
            case "P":
                self._delete(count)
            case "X":
                self._blank(self._row, self._column, min(self._column + count, self.columns))
            case "S":
                self._scroll_up(count)
            case "T":
                self._scroll_down(count)
            case "m":
                self._style = _styled(self._style, given)
            case "r":
                last = given[1] if len(given) > 1 and given[1] else self.rows
                if count < last <= self.rows:
                    self._top, self._bottom = count - 1, last - 1
                    self._move(0, 0)
            case "s":
                self._saved = (self._row, self._column, self._style)
            case "u":
                self._restore()
            case "h" | "l" if 4 in given:
                self._inserts = final == "h"

    def _set_private(self, number: int, *, on: bool) -> None:
        match number:
            case 1:
                self.application_keys = on
            case 25:
                self.cursor_shown = on
            case 2004:
                self.brackets_paste = on
            case 47 | 1047 | 1049:
                self._switch(on)

    def _switch(self, other: bool) -> None:
        """Give a program a screen of its own, or the shell its screen back."""
        if other and self._main is None:
            self._saved = (self._row, self._column, self._style)
            self._main, self._cells = self._cells, self._blank_rows(self.rows)
        elif not other and self._main is not None:
            self._cells, self._main = self._main, None
            self._restore()
        self._top, self._bottom = 0, self.rows - 1

    def _restore(self) -> None:
        row, column, self._style = self._saved
        self._move(row, column)

    def _blank(self, row: int, start: int, end: int) -> None:
        self._cells[row][start:end] = [_BLANK] * max(0, end - start)

    def _erase_line(self, what: int) -> None:
        column = min(self._column, self.columns - 1)
        start, end = {0: (column, self.columns), 1: (0, column + 1)}.get(what, (0, self.columns))
        self._blank(self._row, start, end)

    def _erase_screen(self, what: int) -> None:
        self._erase_line(what)
        rows = {0: range(self._row + 1, self.rows), 1: range(self._row)}.get(what)
        for row in range(self.rows) if rows is None else rows:
            self._blank(row, 0, self.columns)

    def _change_lines(self, count: int, *, inserts: bool) -> None:
        if not self._top <= self._row <= self._bottom:
            return
        for _ in range(min(count, self._bottom - self._row + 1)):
            self._cells.pop(self._bottom if inserts else self._row)
            at = self._row if inserts else self._bottom
            self._cells.insert(at, [_BLANK] * self.columns)

    def _insert_blanks(self, count: int) -> None:
        cells, column = self._cells[self._row], min(self._column, self.columns - 1)
        cells[column:column] = [_BLANK] * min(count, self.columns)
        del cells[self.columns :]

    def _delete(self, count: int) -> None:
        cells, column = self._cells[self._row], min(self._column, self.columns - 1)
        del cells[column : column + count]
        cells += [_BLANK] * (self.columns - len(cells))


def bounded(rows: int, columns: int) -> tuple[int, int]:
    """Return a size that a screen may have."""
    return (
        min(max(rows, LEAST_ROWS), MOST_ROWS),
        min(max(columns, LEAST_COLUMNS), MOST_COLUMNS),
    )


def _runs(cells: Sequence[Cell]) -> Row:
    """Return a row's characters, those of one style together."""
    found: list[Run] = []
    for text, style in cells:
        if found and found[-1][1] == style:
            found[-1] = (found[-1][0] + text, style)
        else:
            found.append((text, style))
    while found and found[-1][1] in (PLAIN, PLAIN._replace(bold=True)):
        text = found[-1][0].rstrip(" ")
        if text:
            found[-1] = (text, found[-1][1])
            break
        found.pop()
    return tuple(found)


def _numbers(parameters: str) -> list[int] | None:
    """Return a sequence's numbers, of which each has a bound; None when it holds anything else."""
    found = []
    for part in re.split("[;:]", parameters):
        if part and not (part.isascii() and part.isdecimal()):
            return None
        found.append(min(int(part or 0), 9999))
    return found


def _styled(style: Style, given: list[int]) -> Style:
    """Return a style after a sequence changed it."""
    numbers = iter(given)
    for number in numbers:
        match number:
            case 0:
                style = PLAIN
            case 1 | 22:
                style = style._replace(bold=number == 1)
            case 4 | 24:
                style = style._replace(underline=number == 4)
            case 7 | 27:
                style = style._replace(inverse=number == 7)
            case 39:
                style = style._replace(colour=-1)
            case _ if 30 <= number <= 37:
                style = style._replace(colour=number - 30)
            case _ if 90 <= number <= 97:
                style = style._replace(colour=number - 82)
            case 38 | 48:
                colour = nearest(numbers)
                if number == 38 and colour is not None:
                    style = style._replace(colour=colour)
    return style
