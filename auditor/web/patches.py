"""A patch side by side: for reading. Every line of it is somewhere; what is not understood, whole.

The executor's own parser decides what a patch does, and refuses what `git diff` does not print.
This one refuses nothing and changes nothing: a line that it cannot place stands across both sides.
Pure.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Literal

_HUNK = re.compile(r"@@ -([0-9]{1,9})(?:,([0-9]{1,9}))? \+([0-9]{1,9})(?:,([0-9]{1,9}))? @@")


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a row: the line's number and text."""

    number: int
    text: str


@dataclass(frozen=True, slots=True)
class Row:
    """What stands beside what.

    Attributes:
        kind: ``same``, ``changed`` (a line for a line), ``gone`` and ``new`` have an empty side,
            and ``across`` is a line of the patch itself.
        across: That line.
    """

    kind: Literal["same", "changed", "gone", "new", "across"]
    left: Side | None = None
    right: Side | None = None
    across: str = ""


@dataclass(slots=True)
class Patch:
    """One file's part of a patch.

    Attributes:
        title: Its ``diff --git`` line, without that.
        added, removed: How many lines.
    """

    title: str
    rows: list[Row] = field(default_factory=list)
    added: int = 0
    removed: int = 0


def split(payload: str) -> tuple[str, list[Patch]]:
    """Return what stands before the first ``diff --git`` line, and each file's part."""
    lines = payload.split("\n")
    if lines and not lines[-1]:
        lines.pop()
    first = next((n for n, one in enumerate(lines) if one.startswith("diff --git ")), len(lines))
    patches: list[Patch] = []
    at = first
    while at < len(lines):
        if lines[at].startswith("diff --git "):
            patches.append(Patch(lines[at].removeprefix("diff --git ")))
            at += 1
        elif match := _HUNK.match(lines[at]):
            patches[-1].rows.append(Row("across", across=lines[at]))
            at = _hunk(lines, at + 1, match, patches[-1])
        else:
            patches[-1].rows.append(Row("across", across=lines[at]))
            at += 1
    return "\n".join(lines[:first]), patches


def _hunk(lines: list[str], at: int, match: re.Match[str], patch: Patch) -> int:
    """Read the lines of one hunk; return where it ends."""
    old, new = int(match[1]), int(match[3])
    old_left = int(match[2]) if match[2] is not None else 1
    new_left = int(match[4]) if match[4] is not None else 1
    gone: list[Side] = []
    come: list[Side] = []
    while at < len(lines) and (old_left > 0 or new_left > 0 or lines[at].startswith("\\")):
        mark, text = lines[at][:1], lines[at][1:]
        if mark == "-" and old_left > 0:
            if come:
                _flush(patch, gone, come)
            gone.append(Side(old, text))
            old, old_left, patch.removed = old + 1, old_left - 1, patch.removed + 1
        elif mark == "+" and new_left > 0:
            come.append(Side(new, text))
            new, new_left, patch.added = new + 1, new_left - 1, patch.added + 1
        elif mark in (" ", "") and old_left > 0 and new_left > 0:
            _flush(patch, gone, come)
            patch.rows.append(Row("same", Side(old, text), Side(new, text)))
            old, new = old + 1, new + 1
            old_left, new_left = old_left - 1, new_left - 1
        elif mark == "\\":
            _flush(patch, gone, come)
            patch.rows.append(Row("across", across=lines[at]))
        else:
            break
        at += 1
    _flush(patch, gone, come)
    return at


def _flush(patch: Patch, gone: list[Side], come: list[Side]) -> None:
    patch.rows.extend(_beside(gone, come))
    gone.clear()
    come.clear()


def _beside(gone: list[Side], come: list[Side]) -> Iterator[Row]:
    for left, right in zip_longest(gone, come):
        if left is None:
            yield Row("new", None, right)
        elif right is None:
            yield Row("gone", left, None)
        else:
            yield Row("changed", left, right)
