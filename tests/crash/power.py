"""Power loss: a file system that remembers what was written and what was synced, cut anywhere.

SQLite's file layer is wrapped (an apsw VFS). What is synced stays; of what was written since, each
write may be there, be missing, or be torn at a sector, in any order: so may a disk leave it.

The database is held exclusively, because a wrapped file layer has no shared memory: the journal's
writes and syncs are the same, only their index is in this process's memory.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw

SECTOR_BYTES = 512


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes written at an offset of a file."""

    name: str
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Truncate:
    """A file cut to a length [bytes]."""

    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Sync:
    """All that was written to a file is on the disk from now on."""

    name: str


@dataclass(frozen=True, slots=True)
class Delete:
    """A file removed; it may come back until its folder is synced, with the next new file."""

    name: str


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A caller was told that events up to this number are kept."""

    seq: int


Deed = Write | Truncate | Sync | Delete | Acknowledged


class _Vfs(apsw.VFS):
    def __init__(self, name: str, deeds: list[Deed]) -> None:
        super().__init__(name, "unix")
        self.deeds = deeds

    def xOpen(self, name: Any, flags: Any) -> "_File":  # noqa: N802 - SQLite's name
        return _File(name, flags, self.deeds)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802 - SQLite's name
        super().xDelete(filename, syncdir)
        self.deeds.append(Delete(Path(filename).name))


class _File(apsw.VFSFile):
    def __init__(self, name: Any, flags: Any, deeds: list[Deed]) -> None:
        super().__init__("unix", name, flags)
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        self._name, self._deeds = Path(path or "temporary").name, deeds

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - SQLite's name
        super().xWrite(data, offset)
        self._deeds.append(Write(self._name, offset, bytes(data)))

    def xTruncate(self, newsize: int) -> None:  # noqa: N802 - SQLite's name
        super().xTruncate(newsize)
        self._deeds.append(Truncate(self._name, newsize))

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's name
        self._deeds.append(Sync(self._name))


@contextmanager
def recorded() -> Iterator[list[Deed]]:
    """Record what every connection does to its files that is opened in the block."""
    deeds: list[Deed] = []
    vfs = _Vfs("monastery-power", deeds)
    before = apsw.vfs_names()[0]

    def alone(connection: apsw.Connection) -> None:
        connection.pragma("locking_mode", "EXCLUSIVE")

    apsw.set_default_vfs("monastery-power")
    apsw.connection_hooks.append(alone)
    try:
        yield deeds
    finally:
        apsw.connection_hooks.remove(alone)
        apsw.set_default_vfs(before)
        vfs.unregister()


@dataclass
class Disk:
    """A disk to which deeds happen one by one, and that can lose its power after any of them.

    Attributes:
        named: The files whose names are on the disk; the first sync of any other syncs the folder.
    """

    synced: dict[str, bytes] = field(default_factory=dict)
    pending: list[Write | Truncate | Delete] = field(default_factory=list)
    named: set[str] = field(default_factory=set)
    acknowledged: int = -1

    def take(self, deed: Deed) -> None:
        """Let one deed happen."""
        match deed:
            case Acknowledged(seq):
                self.acknowledged = seq
            case Sync(name):
                if name not in self.named:
                    self._sync_folder()
                    self.named.add(name)
                files = {name: self.synced.get(name, b"")}
                for one in self.pending:
                    if one.name == name:
                        _apply(files, one)
                self.pending = [one for one in self.pending if one.name != name]
                self.synced |= files
            case _:
                self.pending.append(deed)

    def _sync_folder(self) -> None:
        """Make what was removed gone for good."""
        for number, one in enumerate(self.pending):
            if isinstance(one, Delete):
                self.synced.pop(one.name, None)
                self.named.discard(one.name)
                before = [it for it in self.pending[:number] if it.name != one.name]
                self.pending = [*before, *self.pending[number + 1 :]]
                return self._sync_folder()
        return None

    def cut(self, chance: random.Random) -> dict[str, bytes]:
        """Return the files as a power cut at this moment may leave them."""
        files = dict(self.synced)
        odds = chance.choice([0.0, 0.1, 0.5, 0.9, 1.0])
        pending = list(self.pending)
        if chance.random() < 0.5:
            chance.shuffle(pending)
        for one in pending:
            if chance.random() >= odds:
                continue
            if isinstance(one, Write) and chance.random() < 0.3:
                sectors = len(one.data) // SECTOR_BYTES
                kept = chance.randint(0, sectors) * SECTOR_BYTES
                one = Write(one.name, one.offset, one.data[:kept])
            _apply(files, one)
        return files


def _apply(files: dict[str, bytes], deed: Write | Truncate | Delete) -> None:
    if isinstance(deed, Delete):
        files.pop(deed.name, None)
        return
    content = files.get(deed.name, b"")
    if isinstance(deed, Truncate):
        files[deed.name] = content[: deed.size].ljust(deed.size, b"\0")
    else:
        content = content.ljust(deed.offset, b"\0")
        end = deed.offset + len(deed.data)
        files[deed.name] = content[: deed.offset] + deed.data + content[end:]
