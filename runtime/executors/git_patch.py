"""A patch as ``git diff --binary`` prints it, parsed so that nothing is left to git's own guessing.

``git apply`` forgives much: text around a patch, names that differ between a patch's lines, files
of any mode. A reader could then be shown one thing and git do another. So this parser takes only
what ``git diff`` itself prints, line by line to the end, and refuses the rest. Pure.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn

from monastery.runtime.errors import BadPayload
from monastery.runtime.executors import git_binary, git_names

TITLE = "diff --git "
_NO_NEWLINE = "\\ No newline at end of file"
_HEADER = re.compile(
    r"(old mode|new mode|new file mode|deleted file mode|similarity index|rename from|rename to"
    r"|index) (.*)"
)
_HUNK = re.compile(r"@@ -[0-9]{1,9}(?:,([0-9]{1,9}))? \+[0-9]{1,9}(?:,([0-9]{1,9}))? @@(?: .*)?")
_INDEX = re.compile(r"([0-9a-f]{4,64})\.\.([0-9a-f]{4,64})(?: ([0-7]{6}))?")
_BINARY = re.compile(r"(literal|delta) ([0-9]{1,12})")
_REFUSED_MODES = {"120000": "a symbolic link", "160000": "a submodule", "040000": "a folder"}


@dataclass(frozen=True, slots=True)
class FileChange:
    """What the patch does to one file.

    Attributes:
        old, new: Its path before and after; None before it is made or after it is deleted.
        mode: Its new mode when the patch sets one: ``100644``, or ``100755`` for a program.
        added, removed: How many lines of text.
        binary: Its new bytes, when they are not lines.
        new_name: git's name for its new bytes, in full where `binary` is not None.
    """

    old: str | None
    new: str | None
    mode: str | None = None
    added: int = 0
    removed: int = 0
    binary: git_binary.Binary | None = None
    new_name: str = ""

    @property
    def paths(self) -> tuple[str, ...]:
        """Every path that changes."""
        return tuple(dict.fromkeys(path for path in (self.old, self.new) if path is not None))


def parse(text: str) -> tuple[FileChange, ...]:
    """Return what a patch does, file by file.

    Args:
        text: The patch, from its first ``diff --git`` line to its final line break.

    Raises:
        BadPayload: It is not what ``git diff --binary`` prints, or changes what no step may.
    """
    if not text.endswith("\n"):
        raise BadPayload("the patch does not end with a line break; it may have been cut off")
    lines = _Lines(text[:-1].split("\n"))
    changes = tuple(_changes(lines))
    named = [path for change in changes for path in change.paths]
    twice = [path for path, times in Counter(named).items() if times > 1]
    if twice:
        raise BadPayload(f"the patch names {twice[0]!r} twice; change each file once")
    return changes


class _Lines:
    """The patch's lines, read once from first to last."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines
        self._at = 0
        self.unpacked_bytes = 0

    @property
    def next(self) -> str | None:
        """The next line, or None after the last."""
        return self._lines[self._at] if self._at < len(self._lines) else None

    def take(self) -> str:
        line = self.next
        if line is None:
            self.refuse("the patch ends in the middle of a file")
        self._at += 1
        return line

    def refuse(self, why: str) -> NoReturn:
        line = f": {self.next[:120]!r}" if self.next is not None else ""
        raise BadPayload(f"line {self._at + 1} of the patch{line}: {why}")


def _changes(lines: _Lines) -> Iterator[FileChange]:
    while lines.next is not None:
        if not lines.next.startswith(TITLE):
            lines.refuse("here must be a 'diff --git' line or the end; send the patch alone")
        yield _change(lines)


def _change(lines: _Lines) -> FileChange:
    """Return one file's change: title, extended headers, then lines, binary hunks or nothing."""
    title = lines.take().removeprefix(TITLE)
    headers = _headers(lines)
    mode = _mode(headers, lines)
    index = _index(headers, lines)
    before, after = _renamed(headers, lines)
    added = removed = 0
    binary = None
    following = lines.next or ""
    if following.startswith("--- "):
        old, new = _sides(lines, headers)
        if before is not None and (old, new) != (before, after):
            lines.refuse("the '---' and '+++' lines name other files than the rename")
        added, removed = _hunks(lines)
    else:
        if following.startswith("Binary files "):
            lines.refuse("this holds no bytes; print the patch with 'git diff --binary'")
        old, new = (before, after) if before is not None else _same(title, headers, lines)
        if following == "GIT binary patch":
            binary = _binary(lines, index[1], deleted=new is None)
        elif before is None and mode is None and new is not None:
            lines.refuse("this file does not change")
    if title not in git_names.titles(old or new or "", new or old or ""):
        lines.refuse(f"its title {title[:120]!r} names other files than its other lines")
    return FileChange(old, new, mode, added, removed, binary, index[1])


def _headers(lines: _Lines) -> dict[str, str]:
    headers: dict[str, str] = {}
    while match := _HEADER.fullmatch(lines.next or ""):
        if match[1] in headers:
            lines.refuse(f"{match[1]!r} stands here twice")
        headers[match[1]] = match[2]
        lines.take()
    if (lines.next or "").startswith(("copy ", "dissimilarity ")):
        lines.refuse("copies and rewrites are refused; print the patch with '--no-renames'")
    kinds = [{"new file mode"}, {"deleted file mode"}, {"rename from", "rename to"}]
    if sum(bool(kind & headers.keys()) for kind in kinds) > 1:
        lines.refuse("a file can be new, deleted or renamed, not two of these")
    if ("old mode" in headers) != ("new mode" in headers):
        lines.refuse("'old mode' and 'new mode' go together")
    if "new mode" in headers and headers.keys() & {"new file mode", "deleted file mode"}:
        lines.refuse("the mode of a new or deleted file cannot change")
    return headers


def _mode(headers: dict[str, str], lines: _Lines) -> str | None:
    """Return the mode that the patch sets, after a look at all the modes that it names."""
    named = {key: value for key, value in headers.items() if key.endswith("mode")}
    for key, mode in named.items():
        _regular(key, mode, lines)
    if headers.get("old mode", "") == headers.get("new mode"):
        lines.refuse("the mode does not change")
    return named.get("new file mode") or named.get("new mode")


def _regular(key: str, mode: str, lines: _Lines) -> None:
    if mode not in {"100644", "100755"}:
        what = _REFUSED_MODES.get(mode, "no plain file")
        lines.refuse(f"'{key} {mode[:20]}' is {what}; only files of 100644 and 100755 may change")


def _index(headers: dict[str, str], lines: _Lines) -> tuple[str, str]:
    if "index" not in headers:
        return "", ""
    match = _INDEX.fullmatch(headers["index"])
    if match is None:
        lines.refuse(f"'index {headers['index'][:120]}' is not as git prints it")
    if match[3] is not None:
        _regular("index", match[3], lines)
        if headers.keys() & {"new mode", "new file mode", "deleted file mode"}:
            lines.refuse("the mode stands here twice")
    return match[1], match[2]


def _renamed(headers: dict[str, str], lines: _Lines) -> tuple[str | None, str | None]:
    found = headers.keys() & {"rename from", "rename to"}
    if not found:
        return None, None
    if len(found) == 1:
        lines.refuse("'rename from' and 'rename to' go together")
    if not re.fullmatch(r"(100|[0-9]{1,2})%", headers.get("similarity index", "")):
        lines.refuse("a rename needs its 'similarity index'")
    old, new = (_path(headers[key], "", lines) for key in ("rename from", "rename to"))
    if old == new:
        lines.refuse("a file cannot be renamed to itself")
    return old, new


def _sides(lines: _Lines, headers: dict[str, str]) -> tuple[str | None, str | None]:
    """Return the paths of the ``---`` and ``+++`` lines; None for ``/dev/null``."""
    old = lines.take().removeprefix("--- ")
    if not (lines.next or "").startswith("+++ "):
        lines.refuse("after '---' must come '+++'")
    new = lines.take().removeprefix("+++ ")
    if (old == "/dev/null") != ("new file mode" in headers):
        lines.refuse("a new file, and only a new file, has '/dev/null' after '---'")
    if (new == "/dev/null") != ("deleted file mode" in headers):
        lines.refuse("a deleted file, and only a deleted file, has '/dev/null' after '+++'")
    # git ends a name that holds a space with a tab.
    before = None if old == "/dev/null" else _path(old.removesuffix("\t"), "a/", lines)
    after = None if new == "/dev/null" else _path(new.removesuffix("\t"), "b/", lines)
    if before is not None and after is not None and before != after and not _renames(headers):
        lines.refuse(f"'---' names {before!r} and '+++' names {after!r}")
    return before, after


def _renames(headers: dict[str, str]) -> bool:
    return "rename from" in headers


def _same(title: str, headers: dict[str, str], lines: _Lines) -> tuple[str | None, str | None]:
    """Return the paths of a file that only its title names: the same one twice."""
    middle = len(title) // 2
    if len(title) % 2 == 0 or title[middle] != " ":
        lines.refuse(f"the title {title[:120]!r} does not name one file twice")
    path = _path(title[:middle], "a/", lines)
    if path != _path(title[middle + 1 :], "b/", lines):
        lines.refuse(f"the title {title[:120]!r} names two files")
    old = None if "new file mode" in headers else path
    new = None if "deleted file mode" in headers else path
    return old, new


def _path(spelled: str, prefix: str, lines: _Lines) -> str:
    try:
        return git_names.read(spelled, prefix)
    except ValueError as exc:
        lines.refuse(str(exc))


def _hunks(lines: _Lines) -> tuple[int, int]:
    """Read the hunks of one file; return how many lines they add and remove."""
    added = removed = hunks = 0
    while match := _HUNK.fullmatch(lines.next or ""):
        lines.take()
        hunks += 1
        old, new = (int(count) if count is not None else 1 for count in match.groups())
        if old == new == 0:
            lines.refuse("the hunk before this line holds nothing")
        while old > 0 or new > 0:
            mark = (lines.next or "")[:1]
            if mark not in {" ", "-", "+"} and lines.next != _NO_NEWLINE:
                lines.refuse("a line of a hunk begins with a space, '+' or '-'")
            old -= mark in {" ", "-"}
            new -= mark in {" ", "+"}
            removed += mark == "-"
            added += mark == "+"
            lines.take()
        if old < 0 or new < 0:
            lines.refuse("the hunk before this line has not the lines that its '@@' line says")
        if lines.next == _NO_NEWLINE:
            lines.take()
    if not hunks:
        lines.refuse("here must be a hunk that begins with '@@ -'")
    return added, removed


def _binary(lines: _Lines, new_name: str, *, deleted: bool) -> git_binary.Binary:
    """Read the forward hunk and, when it is there, the reverse one; return what becomes of it."""
    lines.take()
    forward = _binary_hunk(lines)
    if _BINARY.fullmatch(lines.next or ""):
        _binary_hunk(lines)
    if len(new_name) not in {40, 64}:
        lines.refuse("a binary change needs its 'index' line in full; use 'git diff --binary'")
    nothing = isinstance(forward, git_binary.Literal) and not forward.content
    if deleted != (set(new_name) == {"0"}) or (deleted and not nothing):
        lines.refuse("a deleted file, and only a deleted file, has zeros for its new 'index'")
    if isinstance(forward, git_binary.Literal) and not deleted:
        found = git_binary.object_name(forward.content, len(new_name))
        if found != new_name:
            lines.refuse(f"the binary file's bytes are {found}, its 'index' says {new_name}")
    return forward


def _binary_hunk(lines: _Lines) -> git_binary.Binary:
    match = _BINARY.fullmatch(lines.next or "")
    if match is None:
        lines.refuse("here must be 'literal' or 'delta' and a size")
    lines.unpacked_bytes += int(match[2])
    if lines.unpacked_bytes > git_binary.MAX_BINARY_BYTES:
        lines.refuse(f"binary changes unpack to more than {git_binary.MAX_BINARY_BYTES} bytes")
    lines.take()
    rows = []
    while re.match(r"[A-Za-z]", lines.next or ""):
        if lines.next is not None and lines.next.startswith(TITLE):
            lines.refuse("an empty line must end a binary hunk")
        rows.append(lines.take())
    if lines.take() != "":
        lines.refuse("an empty line must end a binary hunk")
    return git_binary.decode(match[1], int(match[2]), rows)
