"""Checkpoints: signed tree heads of a journal, kept outside the database.

A journal alone cannot show that its tail was cut off, that it was put back to an earlier state, or
that somebody with the whole database wrote it anew. A signed head of its Merkle tree, kept
elsewhere, can: the journal must still have that root at that size. The runtime notes one at every
reward, gate decision, stop and end, and once a minute while events come, in ``checkpoints/RUN`` in
the home folder, and in the folder that MONASTERY_CHECKPOINTS names. One after another, never
changed; the last one may be cut short by a crash, which is told apart from all other damage.

A file may begin with checkpoints of format 1, a line of number and hash each, without a signature.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from monastery.runtime.errors import BadInput, StoreError
from monastery.runtime.keys import HomeKey, PublicKey
from monastery.runtime.note import Note, parse_note

VARIABLE = "MONASTERY_CHECKPOINTS"
_PLAIN = re.compile(r"(\d+) ([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Kept:
    """The checkpoints of one file.

    Attributes:
        plain: Those of format 1: event numbers, and the chained hash that each event had.
        whole_bytes: Where the last whole checkpoint ends; what follows was cut short.
    """

    plain: dict[int, str]
    notes: list[Note]
    whole_bytes: int
    torn: bool

    @property
    def newest(self) -> Note | None:
        """The note of the largest tree."""
        return max(self.notes, key=lambda note: note.size, default=None)


def places(home: Path) -> list[Path]:
    """Return the folders in which a home's checkpoints are kept."""
    named = os.environ.get(VARIABLE)
    return [home / "checkpoints", *([Path(named)] if named else [])]


def path_of(home: Path, run: str) -> Path:
    """Return where a run's checkpoints are noted first."""
    return home / "checkpoints" / run


def kept(home: Path, run: str) -> dict[Path, Kept]:
    """Return what is kept of a run, by file; nothing where there is no file.

    Raises:
        BadInput: A file is not one of checkpoints.
    """
    paths = [folder / run for folder in places(home)]
    return {path: read(path) for path in paths if path.exists()}


def read(path: Path) -> Kept:
    """Return the checkpoints of a file.

    Raises:
        BadInput: It is not a file of checkpoints; one that is cut short at its end still is.
    """
    try:
        raw = path.read_bytes()
        return _parse(raw)
    except (OSError, ValueError) as exc:
        raise BadInput(f"no checkpoints in {str(path)!r}: {exc}") from exc


def _parse(raw: bytes) -> Kept:
    plain, notes, whole = dict[int, str](), list[Note](), 0
    end = raw.rfind(b"\n") + 1
    lines = raw[:end].decode().splitlines(keepends=True)
    at = 0
    while at < len(lines):
        old, size = _PLAIN.fullmatch(lines[at].rstrip("\n")), 1
        if old:
            plain[int(old[1])] = old[2]
        else:
            size = 5
            while at + size < len(lines) and lines[at + size].startswith("— "):
                size += 1
            if at + size > len(lines):
                break
            try:
                notes.append(parse_note([line.rstrip("\n") for line in lines[at : at + size]]))
            except ValueError as exc:
                raise ValueError(f"line {at + 1} begins no checkpoint: {exc}") from exc
        whole += sum(len(line.encode()) for line in lines[at : at + size])
        at += size
    if raw and not whole and not _begins_one(raw):
        raise ValueError("it begins with no checkpoint")
    return Kept(plain, notes, whole, torn=whole != len(raw))


def _begins_one(raw: bytes) -> bool:
    """Whether a file without any whole checkpoint can be one that was cut short."""
    return raw.startswith(b"monastery-"[: len(raw)]) or not raw.strip(b"\0")


class Keeper:
    """Notes the checkpoints of a home's runs.

    Args:
        home: The home folder.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._key: HomeKey | None = None
        self._ready: set[Path] = set()

    def note(self, run: str, size: int, root: bytes) -> None:
        """Append a signed head of a run's journal, in every place, each with one write.

        Raises:
            StoreError: It cannot be written.
        """
        if self._key is None:
            self._key = HomeKey.of(self._home)
        note = self._key.checkpoint(run, size, root).encode()
        for folder in places(self._home):
            path = folder / run
            try:
                if path not in self._ready:
                    _prepare(path, self._key.public)
                    self._ready.add(path)
                _append(path, note)
            except OSError as exc:
                raise StoreError(f"cannot note a checkpoint in {str(path)!r}: {exc}") from exc


def _append(path: Path, content: bytes) -> None:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    try:
        if os.write(descriptor, content) != len(content):
            raise OSError("the disk is full")
    finally:
        os.close(descriptor)


def _prepare(path: Path, public: PublicKey) -> None:
    """Put the public key beside the checkpoints; take away what a crash left of a last one."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = path.parent / f"{public.name}.pub"
    if not beside.exists():
        beside.write_text(public.text + "\n")
    if path.exists():
        found = read(path)
        if found.torn:
            os.truncate(path, found.whole_bytes)
