"""Files put into a folder, all or none, by handles of folders so that no link leads out of it.

Every folder on the way is opened by name in its parent without following links; every file is
written aside, flushed, and only when all are written are they given their names. Blocking.
"""

import errno
import hashlib
import os
import stat
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

from monastery.runtime.errors import MonasteryError

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


class Conflict(MonasteryError):
    """The files cannot be delivered as they are, and none was put there now."""


class PartlyDelivered(MonasteryError):
    """Some files were replaced before one could not be; going on with the run tries again."""


def deliver(folder: Path, files: Mapping[str, bytes], *, tag: str, overwrite: bool) -> None:
    """Put files into a folder.

    Args:
        folder: An existing folder; it may itself be reached by a link.
        files: Bytes by relative path, already checked by `paths`.
        tag: Names this delivery; what an earlier attempt of the same name left aside is reused.
        overwrite: Whether files of other content may be replaced.

    Raises:
        Conflict: Nothing was put there.
        PartlyDelivered: Files were replaced, and one could not be.
    """
    with ExitStack() as handles:
        work = _Work(handles, overwrite, tag)
        try:
            root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            handles.callback(os.close, root)
            missing = work.look(root, files)
            for path in files:
                if path in missing:
                    work.write_aside(root, path, files[path])
                else:
                    work.sweep(root, path)
            work.name_all()
        except OSError as exc:
            _give_up(work, f"{exc.strerror}: {exc.filename!r}", exc)
        except Conflict as exc:
            _give_up(work, str(exc), exc)
        finally:
            work.tidy()


def _give_up(work: "_Work", why: str, cause: Exception) -> None:
    """Take back what was put there and say that nothing was, or that it cannot be taken back."""
    if work.replaced:
        raise PartlyDelivered(
            f"{work.replaced[0]!r} and perhaps more were replaced, then: {why}; go on with the run "
            "to try again"
        ) from cause
    work.take_back()
    raise Conflict(why) from cause


@dataclass(slots=True)
class _Target:
    """A file on its way: the open folder, its name there, and the name it is written under."""

    path: str
    parent: int
    name: str
    aside: str


@dataclass(slots=True)
class _Work:
    """What one delivery has opened, written and made so far."""

    handles: ExitStack
    overwrite: bool
    tag: str
    targets: list[_Target] = field(default_factory=list)
    named: list[_Target] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    made: list[tuple[int, str]] = field(default_factory=list)
    opened: dict[tuple[int, str], int] = field(default_factory=dict)

    def look(self, root: int, files: Mapping[str, bytes]) -> set[str]:
        """Return the paths that have to be written; change nothing.

        Raises:
            Conflict: Something is in the way, all such paths named at once.
        """
        missing: set[str] = set()
        in_the_way = []
        for path, content in files.items():
            try:
                found = _read_at(root, path, len(content))
            except OSError as exc:
                in_the_way.append(f"{path} ({exc.strerror})")
                continue
            if found is None or (found != content and self.overwrite):
                missing.add(path)
            elif found != content:
                in_the_way.append(f"{path} (is there already with other content)")
        if in_the_way:
            raise Conflict("in the way: " + ", ".join(in_the_way))
        return missing

    def write_aside(self, root: int, path: str, content: bytes) -> None:
        """Write a file beside its place, whole and flushed, making the folders that lead to it."""
        target = self.sweep(root, path)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        handle = os.open(target.aside, flags, 0o666, dir_fd=target.parent)
        self.targets.append(target)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())

    def sweep(self, root: int, path: str) -> _Target:
        """Return a file's place, its folders made, without what an earlier attempt left aside."""
        *folders, name = path.split("/")
        parent = root
        for folder in folders:
            parent = self._enter(parent, folder)
        mark = hashlib.sha256(f"{self.tag}/{name}".encode()).hexdigest()[:24]
        target = _Target(path, parent, name, f".monastery-{mark}")
        with suppress(FileNotFoundError):
            os.unlink(target.aside, dir_fd=parent)
        return target

    def name_all(self) -> None:
        """Give every file its name, then flush the folders."""
        for target in self.targets:
            if self.overwrite:
                self._replace(target)
            else:
                self._link(target)
        for parent in {target.parent for target in self.targets} | {fd for fd, _ in self.made}:
            os.fsync(parent)

    def take_back(self) -> None:
        """Remove the files that were named; none of them replaced another."""
        for target in self.named:
            with suppress(OSError):
                os.unlink(target.name, dir_fd=target.parent)
        self.named.clear()

    def tidy(self) -> None:
        """Remove what was written aside, and the folders made for nothing."""
        for target in self.targets:
            with suppress(OSError):
                os.unlink(target.aside, dir_fd=target.parent)
        for parent, name in reversed(self.made):
            with suppress(OSError):  # one that holds a file stays
                os.rmdir(name, dir_fd=parent)

    def _enter(self, parent: int, name: str) -> int:
        if (parent, name) in self.opened:
            return self.opened[parent, name]
        try:
            os.mkdir(name, dir_fd=parent)
            self.made.append((parent, name))
        except FileExistsError:
            pass
        handle = os.open(name, _FOLDER, dir_fd=parent)
        self.handles.callback(os.close, handle)
        self.opened[parent, name] = handle
        return handle

    def _replace(self, target: _Target) -> None:
        there = _exists_at(target.parent, target.name)
        os.rename(target.aside, target.name, src_dir_fd=target.parent, dst_dir_fd=target.parent)
        if there:
            self.replaced.append(target.path)
        else:
            self.named.append(target)

    def _link(self, target: _Target) -> None:
        """Name a file without replacing one that came meanwhile."""
        try:
            os.link(
                target.aside,
                target.name,
                src_dir_fd=target.parent,
                dst_dir_fd=target.parent,
                follow_symlinks=False,
            )
        except FileExistsError as exc:
            raise Conflict(f"in the way: {target.path} (came there meanwhile)") from exc
        except OSError as exc:
            if exc.errno not in _NO_LINKS or _exists_at(target.parent, target.name):
                raise
            os.rename(  # a file system without hard links
                target.aside, target.name, src_dir_fd=target.parent, dst_dir_fd=target.parent
            )
        self.named.append(target)


def _exists_at(parent: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _read_at(root: int, path: str, size: int) -> bytes | None:
    """Return at most `size` + 1 bytes of a plain file, or None when it is not there.

    Raises:
        OSError: Something else than a plain file is there, or a link leads to it.
    """
    *folders, name = path.split("/")
    with ExitStack() as handles:
        parent = root
        try:
            for folder in folders:
                parent = os.open(folder, _FOLDER, dir_fd=parent)
                handles.callback(os.close, parent)
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            handle = os.open(name, flags, dir_fd=parent)
        except FileNotFoundError:
            return None
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise OSError(errno.EEXIST, "is there and no plain file")
        with os.fdopen(handle, "rb") as file:
            return file.read(size + 1)
