"""The work folder of a box: filling it, what changed in it, how much it holds, a copy of it.

Where the engine is on this machine and we may read its volumes, the folder is worked on directly;
elsewhere through the engine's archives, which is slower by a factor of a hundred.

A folder with a file system of its own (`disk`) holds no more than that. Where there is none, and
the project does without, a watcher measures the folder: between two looks an agent can write past
the limit what the disk takes in that time.
"""

import errno
import hashlib
import os
import posixpath
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import IO, Any, Protocol, cast

import trio

from monastery.runtime.errors import BadInput, LimitExceeded
from monastery.runtime.ports import WORK
from monastery.runtime.records import Change
from monastery.sandbox import tree
from monastery.sandbox.engine import Engine
from monastery.sandbox.volumes import AGENT

_WATCH_SECONDS = 0.25
_SPARE_BYTES = 64 << 20
_REMOVE_SECONDS = 30.0
_TOP = WORK.removeprefix("/")
_SAVED_FOLDER, _SAVED_ARCHIVE = "work", "work.tar"

Files = Sequence[tuple[str, str]]
"""Paths relative to the work folder, and the host's path that each is copied from."""


class Work(Protocol):
    """The work folder of one box."""

    async def fill(self, files: Files) -> None:
        """Put the project's files in the empty folder.

        Raises:
            BadInput: One of them does not exist, or leads out of the folder.
        """
        ...

    async def changes(self) -> list[Change]:
        """Return what changed since the last call, by path; the first call is the beginning."""
        ...

    async def copy_from(self, other: "Work") -> None:
        """Make this empty folder a copy of another of the same kind.

        Raises:
            LimitExceeded: It holds more than a box may.
        """
        ...

    async def save(self, to: Path) -> None:
        """Keep a copy of the folder in an empty folder of the host."""
        ...

    async def restore(self, source: Path) -> None:
        """Make this empty folder what was saved there.

        Raises:
            BadInput: It was saved by a work folder of the other kind.
        """
        ...

    async def watch(self) -> LimitExceeded:
        """Wait until the folder holds more than it may."""
        ...


class LocalWork:
    """A folder of this machine.

    Args:
        owner: User and group of what we put in; None when that is ourselves.
        bounded: Whether it is a file system of its own.
    """

    def __init__(
        self,
        folder: Path,
        *,
        owner: tuple[int, int] | None,
        limit_bytes: int,
        bounded: bool = False,
    ) -> None:
        self.folder = folder
        self._bounded = bounded
        self._owner = owner
        self._limit_bytes = limit_bytes
        self._before: tree.Manifest | None = None

    async def fill(self, files: Files) -> None:
        """Copy the project's files."""
        with _room(self._limit_bytes):
            await trio.to_thread.run_sync(self._fill, files)

    async def changes(self) -> list[Change]:
        """Compare what lies in it with what lay there."""
        now = await trio.to_thread.run_sync(tree.scan, self.folder)
        before, self._before = self._before, now
        return [] if before is None else tree.compare(before, now)

    async def copy_from(self, other: Work) -> None:
        """Make this empty folder a copy of another."""
        assert isinstance(other, LocalWork), "a box and its forks are on one engine"
        copy = partial(tree.copy, owner=self._owner, limit_bytes=self._limit_bytes + _SPARE_BYTES)
        with _room(self._limit_bytes):
            await trio.to_thread.run_sync(copy, other.folder, self.folder)
        self._own(self.folder)

    async def save(self, to: Path) -> None:
        """Copy the folder."""
        kept = to / _SAVED_FOLDER
        kept.mkdir()
        copy = partial(tree.copy, owner=None, limit_bytes=self._limit_bytes + _SPARE_BYTES)
        await trio.to_thread.run_sync(copy, self.folder, kept)

    async def restore(self, source: Path) -> None:
        """Copy it back."""
        await self.copy_from(LocalWork(_saved(source, _SAVED_FOLDER), owner=None, limit_bytes=0))

    async def watch(self) -> LimitExceeded:
        """Measure whenever the disk's free space fell by what would matter, and now and then."""
        if self._bounded:
            await trio.sleep_forever()
        used, free_then, rounds = 0, -1, 0
        while True:
            disk = os.statvfs(self.folder)
            free = disk.f_bfree * disk.f_frsize
            rounds += 1
            if free_then < 0 or free_then - free > (self._limit_bytes - used) // 4 or rounds > 20:
                started = trio.current_time()
                try:
                    used = await trio.to_thread.run_sync(tree.measure, self.folder)
                except LimitExceeded as exc:
                    return exc
                if used > self._limit_bytes:
                    return LimitExceeded(
                        f"the work folder holds {used} bytes, more than {self._limit_bytes}"
                    )
                free_then, rounds = free, 0
                # Measuring a large folder must not become what this machine does.
                await trio.sleep(10 * (trio.current_time() - started))
            await trio.sleep(_WATCH_SECONDS)

    def _fill(self, files: Files) -> None:
        for inside, host in files:
            target = self.folder / _inside(inside)
            for parent in reversed(target.relative_to(self.folder).parents):
                if not (self.folder / parent).is_dir():
                    (self.folder / parent).mkdir()
                    self._own(self.folder / parent)
            source = Path(host)
            if source.is_dir():
                if target != self.folder and not target.is_dir():
                    target.mkdir()
                    self._own(target)
                tree.copy(source, target, owner=self._owner, limit_bytes=self._limit_bytes)
            elif source.is_file():
                tree.copy_file(source, target, owner=self._owner)
            else:
                raise BadInput(f"box.files: {host!r} is neither a file nor a folder")
        self._own(self.folder)
        # Root may write into what a file system keeps back for root.
        if tree.measure(self.folder) > self._limit_bytes:
            raise _full(self._limit_bytes)

    def _own(self, folder: Path) -> None:
        if self._owner is not None:
            os.chown(folder, *self._owner)


class ArchiveWork:
    """The work folder of a container whose files only the engine can reach.

    Args:
        config: The container's configuration, for a second one that is made only to write the
            volume: an archive cannot set the owner of the very folder that it is unpacked in, so
            it must be unpacked one level above, and there a box is read-only.
    """

    def __init__(
        self, engine: Engine, container: str, config: Mapping[str, Any], *, limit_bytes: int
    ) -> None:
        self._engine = engine
        self._container = container
        self._config = config
        self._limit_bytes = limit_bytes
        self._before: tree.Manifest | None = None

    async def fill(self, files: Files) -> None:
        """Send the project's files."""
        await self._put(await trio.to_thread.run_sync(_pack, files))

    async def changes(self) -> list[Change]:
        """Read the whole folder, and compare what the files hold."""
        now = await self._engine.get_archive(
            self._container, WORK, partial(_manifest, limit_bytes=self._limit_bytes)
        )
        before, self._before = self._before, now or {}
        return [] if before is None else tree.compare(before, self._before)

    async def copy_from(self, other: Work) -> None:
        """Make this empty folder a copy of another, through this machine's disk."""
        assert isinstance(other, ArchiveWork), "a box and its forks are on one engine"
        await self._put(await other._packed())

    async def save(self, to: Path) -> None:
        """Keep the folder's archive."""
        with await self._packed() as packed, (to / _SAVED_ARCHIVE).open("wb") as file:
            await trio.to_thread.run_sync(shutil.copyfileobj, packed, file)

    async def restore(self, source: Path) -> None:
        """Unpack the archive."""
        await self._put(_saved(source, _SAVED_ARCHIVE).open("rb"))

    async def _packed(self) -> IO[bytes]:
        spool = partial(_spool, limit_bytes=self._limit_bytes)
        packed = await self._engine.get_archive(self._container, WORK, spool)
        assert packed is not None, "a box has a work folder"
        return packed

    async def _put(self, packed: IO[bytes]) -> None:
        """Unpack an archive, whose one folder is named as the work folder, and close it."""
        mount = {**self._config["HostConfig"]["Mounts"][0], "Target": f"/fill{WORK}"}
        host = {**self._config["HostConfig"], "Mounts": [mount], "ReadonlyRootfs": False}
        with packed:
            writer = await self._engine.create({**self._config, "HostConfig": host})
            try:
                await self._engine.put_archive(writer, "/fill", _pieces(packed))
            finally:
                with trio.move_on_after(_REMOVE_SECONDS, shield=True):
                    await self._engine.remove(writer)

    async def watch(self) -> LimitExceeded:
        """Wait for ever: from here the folder is bounded by RLIMIT_FSIZE and the archives only."""
        await trio.sleep_forever()
        raise AssertionError


def _saved(source: Path, name: str) -> Path:
    if not (source / name).exists():
        raise BadInput(
            f"the snapshot {str(source)!r} is of an engine"
            f" {'elsewhere' if name == _SAVED_FOLDER else 'on this machine'}; go on with it there"
        )
    return source / name


@contextmanager
def _room(limit_bytes: int) -> Iterator[None]:
    """Say what it means that a file system of the box's own is full."""
    try:
        yield
    except OSError as exc:
        if exc.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise _full(limit_bytes) from exc


def _full(limit_bytes: int) -> LimitExceeded:
    return LimitExceeded(
        f"the work folder has no room for its files: it may hold {limit_bytes} bytes (box.disk)"
    )


def _inside(path: str) -> str:
    """Refuse a path that leads out of the work folder."""
    if path.startswith("/") or ".." in Path(path).parts:
        raise BadInput(f"box.files: {path!r} must be relative to {WORK} and stay in it")
    return path


def _pack(files: Files) -> IO[bytes]:
    """Return the archive that fills a folder."""
    packed = tempfile.TemporaryFile()  # noqa: SIM115 - handed to the caller

    def dress(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        member.uid, member.gid = AGENT
        member.uname = member.gname = ""
        member.mode &= 0o1777
        return _straight(member) if member.isfile() or member.isdir() or member.issym() else None

    with tarfile.open(fileobj=packed, mode="w|") as archive:
        top = tarfile.TarInfo(_TOP)
        top.type, top.mode = tarfile.DIRTYPE, 0o755
        archive.addfile(_owned(top))
        made: set[str] = set()
        for inside, host in files:
            for parent in reversed(Path(_inside(inside)).parents[:-1]):
                if str(parent) not in made:
                    made.add(str(parent))
                    folder = tarfile.TarInfo(f"{_TOP}/{parent}")
                    folder.type, folder.mode = tarfile.DIRTYPE, 0o755
                    archive.addfile(_owned(folder))
            if not Path(host).exists():
                raise BadInput(f"box.files: {host!r} is neither a file nor a folder")
            archive.add(Path(host).resolve(), arcname=f"{_TOP}/{inside}", filter=dress)
    packed.seek(0)
    return packed


def _owned(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid, member.gid = AGENT
    return member


def _straight(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Say where a link leads without ``..`` above the root, which engines refuse to unpack."""
    if member.issym():
        leads = posixpath.join(posixpath.dirname(member.name), member.linkname)
        if posixpath.normpath(leads).startswith(".."):
            member.linkname = posixpath.normpath(f"/{leads}")
    return member


class _Pieces:
    """Reads an archive's pieces as a file, and no more of them than is bearable."""

    def __init__(self, pieces: Iterator[bytes], limit_bytes: int) -> None:
        self._pieces = pieces
        self._rest = b""
        self._left_bytes = limit_bytes + _SPARE_BYTES

    def read(self, size: int = -1) -> bytes:
        """Return at most so many bytes; nothing at the end."""
        if not self._rest:
            self._rest = next(self._pieces, b"")
            self._left_bytes -= len(self._rest)
            if self._left_bytes < 0:
                raise LimitExceeded("the work folder holds more than its box may write")
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken


def _manifest(pieces: Iterator[bytes], *, limit_bytes: int) -> tree.Manifest:
    """Return what an archive holds; archives know times to the second, so contents are hashed."""
    found: tree.Manifest = {}
    source = cast("IO[bytes]", _Pieces(pieces, limit_bytes))  # a stream is only ever read
    with tarfile.open(fileobj=source, mode="r|") as archive:
        for member in archive:
            digest = hashlib.blake2b(digest_size=7)
            content = (
                archive.extractfile(member)
                if member.isfile()
                else BytesIO(member.linkname.encode("utf-8", "surrogateescape"))
            )
            while content is not None and (part := content.read(1 << 20)):
                digest.update(part)
            kind = {tarfile.DIRTYPE: 0o040000, tarfile.SYMTYPE: 0o120000}.get(member.type, 0o100000)
            path = member.name.removeprefix(_TOP).strip("/").encode("utf-8", "surrogateescape")
            if path:
                found[path] = tree.Stamp(
                    0, int.from_bytes(digest.digest(), "big"), 0, member.size, kind | member.mode
                )
            if len(found) > tree.MAX_ENTRIES:
                raise LimitExceeded(f"the work folder holds more than {tree.MAX_ENTRIES} paths")
    return found


def _spool(pieces: Iterator[bytes], *, limit_bytes: int) -> IO[bytes]:
    """Keep an archive on this machine's disk, without what a copy must not hold."""
    spooled = tempfile.TemporaryFile()  # noqa: SIM115 - handed to the caller
    source = cast("IO[bytes]", _Pieces(pieces, limit_bytes))  # a stream is only ever read
    with (
        tarfile.open(fileobj=source, mode="r|") as archive,
        tarfile.open(fileobj=spooled, mode="w|", format=tarfile.PAX_FORMAT) as copy,
    ):
        for member in map(_owned, archive):  # engines that map users tell the host's numbers
            if member.isfile():
                member.mode &= 0o1777
                copy.addfile(member, archive.extractfile(member))
            elif member.isdir() or member.issym() or member.islnk():
                copy.addfile(_straight(member))
    spooled.seek(0)
    return spooled


def _pieces(packed: IO[bytes]) -> Iterator[bytes]:
    while piece := packed.read(1 << 18):
        yield piece
