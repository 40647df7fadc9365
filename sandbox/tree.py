"""Folders of an agent, walked and copied by the host: nothing in them is followed or believed.

Every step goes from an open folder to a name in it without following links, so that a folder that
is swapped for a symbolic link meanwhile leads nowhere.
"""

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from monastery.runtime.errors import LimitExceeded
from monastery.runtime.records import Change

MAX_DEPTH = 128
MAX_ENTRIES = 1_000_000
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_FICLONE = 0x40049409  # linux/fs.h


class Stamp(NamedTuple):
    """What tells that a path changed: nobody in a box can set a change time."""

    inode: int
    modified_ns: int
    changed_ns: int
    size_bytes: int
    mode: int


Manifest = dict[bytes, Stamp]


class Entry(NamedTuple):
    """Something in a folder: its path from the top, the open folder that holds it, its status."""

    path: bytes
    folder: int
    name: bytes
    status: os.stat_result


def walk(top: int, path: bytes = b"", depth: int = 0) -> Iterator[Entry]:
    """Yield all that is below an open folder, each folder before what is in it.

    Raises:
        LimitExceeded: It is nested deeper than `MAX_DEPTH`.
    """
    with os.scandir(top) as listing:
        names = [os.fsencode(entry.name) for entry in listing]
    for name in names:
        try:
            status = os.stat(name, dir_fd=top, follow_symlinks=False)
        except FileNotFoundError:
            continue
        below = path + name
        yield Entry(below, top, name, status)
        if stat.S_ISDIR(status.st_mode):
            if depth == MAX_DEPTH:
                raise LimitExceeded(f"the work folder is nested deeper than {MAX_DEPTH} folders")
            try:
                inner = os.open(name, _FOLDER, dir_fd=top)
            except OSError:
                continue  # gone, or no folder any more
            try:
                yield from walk(inner, below + b"/", depth + 1)
            finally:
                os.close(inner)


def scan(top: Path) -> Manifest:
    """Return what lies below a folder.

    Raises:
        LimitExceeded: It holds more than `MAX_ENTRIES`.
    """
    found: Manifest = {}
    fd = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for path, _, _, is_now in walk(fd):
            found[path] = Stamp(
                is_now.st_ino,
                is_now.st_mtime_ns,
                is_now.st_ctime_ns,
                is_now.st_size,
                is_now.st_mode,
            )
            if len(found) > MAX_ENTRIES:
                raise LimitExceeded(f"the work folder holds more than {MAX_ENTRIES} paths")
    finally:
        os.close(fd)
    return found


def compare(before: Manifest, now: Manifest) -> list[Change]:
    """Return what is not as it was, by path. A folder changes only by coming and going."""
    found = []
    for path in sorted(before.keys() | now.keys()):
        was, is_now = before.get(path), now.get(path)
        shown = path.decode("utf-8", "backslashreplace")
        if is_now is None:
            found.append(Change(shown, "deleted", None))
        elif was is None:
            found.append(Change(shown, "added", is_now.size_bytes))
        elif was != is_now and not (stat.S_ISDIR(was.mode) and was.mode == is_now.mode):
            found.append(Change(shown, "modified", is_now.size_bytes))
    return found


def measure(top: Path) -> int:
    """Return how much disk a folder takes [bytes], hard links counted once.

    Raises:
        LimitExceeded: It holds more than `MAX_ENTRIES`.
    """
    seen: set[int] = set()
    total_blocks = 0
    fd = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for number, entry in enumerate(walk(fd)):
            if number >= MAX_ENTRIES:
                raise LimitExceeded(f"the work folder holds more than {MAX_ENTRIES} paths")
            if entry.status.st_nlink > 1 and not stat.S_ISDIR(entry.status.st_mode):
                if entry.status.st_ino in seen:
                    continue
                seen.add(entry.status.st_ino)
            total_blocks += entry.status.st_blocks
    finally:
        os.close(fd)
    return total_blocks * 512


def copy(source: Path, target: Path, *, owner: tuple[int, int] | None, limit_bytes: int) -> int:
    """Copy what lies in one folder into another, which only we can write to; return bytes copied.

    Symbolic links are copied as links; devices, pipes, sockets and set-user bits are left out.
    Holes stay holes, and files share their blocks where the file system can.

    Args:
        owner: User and group of the copies; None leaves them ours.

    Raises:
        LimitExceeded: More than `limit_bytes`.
    """
    copier = _Copier(owner, limit_bytes)
    folders = [os.open(source, os.O_RDONLY | os.O_DIRECTORY)]
    try:
        folders.append(os.open(target, os.O_RDONLY | os.O_DIRECTORY))
        copier.folder(folders[0], folders[1], 0)
    finally:
        for fd in folders:
            os.close(fd)
    return copier.copied_bytes


def copy_file(source: Path, target: Path, *, owner: tuple[int, int] | None) -> None:
    """Copy one regular file of the host, links followed, to a path that only we can write to."""
    copier = _Copier(owner, 1 << 62)
    fds = [os.open(folder, os.O_RDONLY | os.O_DIRECTORY) for folder in ("/", target.parent)]
    try:
        whole = os.fsencode(source.resolve(strict=True))
        name = os.fsencode(target.name)
        copier.file(fds[0], whole, fds[1], os.stat(whole), name)  # noqa: PTH116 - bytes
    finally:
        for fd in fds:
            os.close(fd)


class _Copier:
    """Copies folders; knows how much it has copied, and which hard links it has met."""

    def __init__(self, owner: tuple[int, int] | None, limit_bytes: int) -> None:
        self.copied_bytes = 0
        self._owner = owner
        self._limit_bytes = limit_bytes
        self._entries = 0
        self._links: dict[int, bytes] = {}
        self._top = -1

    def folder(self, source: int, target: int, depth: int, path: bytes = b"") -> None:
        """Copy what is in one open folder into another."""
        if depth > MAX_DEPTH:
            raise LimitExceeded(f"the work folder is nested deeper than {MAX_DEPTH} folders")
        if depth == 0:
            self._top = target
        with os.scandir(source) as listing:
            names = [os.fsencode(entry.name) for entry in listing]
        for name in names:
            self._entries += 1
            if self._entries > MAX_ENTRIES:
                raise LimitExceeded(f"the work folder holds more than {MAX_ENTRIES} paths")
            try:
                status = os.stat(name, dir_fd=source, follow_symlinks=False)
                self._entry(source, target, name, status, depth, path + name)
            except FileNotFoundError:
                continue

    def _entry(
        self,
        source: int,
        target: int,
        name: bytes,
        status: os.stat_result,
        depth: int,
        path: bytes,
    ) -> None:
        if stat.S_ISDIR(status.st_mode):
            below = os.open(name, _FOLDER, dir_fd=source)
            try:
                os.mkdir(name, 0o700, dir_fd=target)
                copy = os.open(name, _FOLDER, dir_fd=target)
                try:
                    self.folder(below, copy, depth + 1, path + b"/")
                    self._dress(copy, status)
                finally:
                    os.close(copy)
            finally:
                os.close(below)
        elif stat.S_ISLNK(status.st_mode):
            os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
            if self._owner is not None:
                os.chown(name, *self._owner, dir_fd=target, follow_symlinks=False)
        elif stat.S_ISREG(status.st_mode):
            first = self._links.get(status.st_ino) if status.st_nlink > 1 else None
            if first is not None:
                os.link(first, name, src_dir_fd=self._top, dst_dir_fd=target)
            else:
                self.file(source, name, target, status, name)
                self._links[status.st_ino] = path

    def file(
        self, source: int, name: bytes, target: int, status: os.stat_result, new_name: bytes
    ) -> None:
        """Copy one regular file."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
        fd = os.open(name, flags, dir_fd=source)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                return
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            copy = os.open(new_name, flags, 0o600, dir_fd=target)
            try:
                self._content(fd, copy)
                self._dress(copy, status)
            finally:
                os.close(copy)
        finally:
            os.close(fd)

    def _content(self, source: int, target: int) -> None:
        """Copy a file's bytes, holes left out; on file systems that can, share them."""
        size = os.fstat(source).st_size
        os.ftruncate(target, size)
        try:
            fcntl.ioctl(target, _FICLONE, source)
        except OSError:
            at = 0
            while at < size:
                try:
                    at = os.lseek(source, at, os.SEEK_DATA)
                except OSError as error:
                    if error.errno == errno.ENXIO:
                        return  # only a hole is left
                    raise
                end = os.lseek(source, at, os.SEEK_HOLE)
                os.lseek(target, at, os.SEEK_SET)
                while at < end:
                    sent = os.sendfile(target, source, at, min(end - at, 1 << 24))
                    if not sent:
                        return  # it became shorter
                    at += sent
                    self._count(sent)
        else:
            self._count(os.fstat(source).st_blocks * 512)

    def _count(self, copied_bytes: int) -> None:
        self.copied_bytes += copied_bytes
        if self.copied_bytes > self._limit_bytes:
            raise LimitExceeded(f"the work folder holds more than {self._limit_bytes} bytes")

    def _dress(self, fd: int, status: os.stat_result) -> None:
        """Give a copy its owner, mode and times; no set-user and set-group bits."""
        if self._owner is not None:
            os.fchown(fd, *self._owner)
        os.fchmod(fd, stat.S_IMODE(status.st_mode) & 0o1777)
        os.utime(fd, ns=(status.st_atime_ns, status.st_mtime_ns))
