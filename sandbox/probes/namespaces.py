"""Namespaces and mounts: new ones, others' ones, and what is mounted in ours."""

from __future__ import annotations

import errno
import os
import signal
import tempfile
from typing import Any

from monastery.sandbox.probes.attempt import (
    BARE,
    CLOSED,
    WEAK,
    Probe,
    Seen,
    call,
    closed,
    opened,
    reaches,
)

NAMESPACES = {
    "mount": (0x00020000, "mnt"),
    "cgroup": (0x02000000, "cgroup"),
    "host name": (0x04000000, "uts"),
    "IPC": (0x08000000, "ipc"),
    "user": (0x10000000, "user"),
    "process": (0x20000000, "pid"),
    "network": (0x40000000, "net"),
    "time": (0x00000080, "time"),
}
"""The flag of each kind and its file under /proc/self/ns. Source: namespaces(7)."""


def _setns(kind: str) -> Any:
    """Return an attempt to enter the namespace that we are in already: a right is needed."""

    def attempt(given: dict[str, Any]) -> Seen:
        try:
            fd = os.open(f"/proc/self/ns/{kind}", os.O_RDONLY)
        except FileNotFoundError:
            return closed("this kernel has none of that kind")
        return reaches("setns", fd, 0)(given)

    return attempt


def _clone(given: dict[str, Any]) -> Seen:
    """Fork into a new user namespace, from where all others can be had."""
    result, error = call(given, "clone", 0x10000000 | signal.SIGCHLD, 0, 0, 0, 0)
    if result == 0:
        os._exit(0)
    if result > 0:
        return opened("a process was made in a new user namespace")
    word = errno.errorcode.get(error, str(error))
    return closed(word) if error in (*CLOSED, errno.EUSERS) else opened(f"reached: {word}")


def _clone3(given: dict[str, Any]) -> Seen:
    _, error = call(given, "clone3", 0, 0)
    word = errno.errorcode.get(error, str(error))
    return closed(word) if error == errno.ENOSYS else opened(f"reached the kernel: {word}")


def _mount(given: dict[str, Any]) -> Seen:
    with tempfile.TemporaryDirectory() as folder:
        place = folder.encode()
        seen = reaches("mount", b"tmpfs", place, b"tmpfs", 0, 0)(given)
        call(given, "umount2", place, 2)
    return seen


_NULL = 0

PROBES = (
    Probe("mount", "refused", BARE, _mount),
    Probe("unmount", "refused", BARE, reaches("umount2", b"/nonexistent", _NULL)),
    Probe("fsopen", "refused", BARE, reaches("fsopen", b"tmpfs", _NULL)),
    Probe("move_mount", "refused", BARE, reaches("move_mount", -1, b"", -1, b"", 0)),
    Probe("open_tree", "refused", BARE, reaches("open_tree", -100, b"/", 1)),
    Probe("mount_setattr", "refused", BARE, reaches("mount_setattr", -100, b"/", 0, _NULL, 0)),
    Probe("pivot_root", "refused", BARE, reaches("pivot_root", b".", b".")),
    Probe("chroot", "refused", WEAK, reaches("chroot", b"/")),
    *(
        Probe(f"unshare {name}", "refused", BARE, reaches("unshare", flag))
        for name, (flag, _) in NAMESPACES.items()
        if name != "network"
    ),
    *(
        Probe(f"setns {name}", "refused", BARE, _setns(kind))
        for name, (_, kind) in NAMESPACES.items()
    ),
    Probe("clone into a namespace", "refused", BARE, _clone),
    Probe("clone3", "ENOSYS", BARE, _clone3),
)
"""What is tried against the walls of namespaces."""
