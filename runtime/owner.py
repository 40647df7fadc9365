"""Who owns a run or a box: a process, named so that no other can be taken for it."""

import os
import platform
from functools import cache
from pathlib import Path


def this_process() -> str:
    """Return this process's name: machine, boot, process namespace, number, start; by slashes."""
    return "/".join((*_place(), str(os.getpid()), _started(os.getpid())))


def is_dead(owner: str) -> bool:
    """Whether the process of this name has surely ended; what cannot be known from here is alive.

    It has when its machine was started anew, or when its number is free or another process's. A
    process of another machine, or in another process namespace, cannot be judged.
    """
    parts = owner.split("/")
    if len(parts) != 5 or not parts[3].isdecimal():
        return False
    machine, boot, namespace = _place()
    if parts[0] != machine:
        return False
    if parts[1] != boot:
        return True
    return parts[2] == namespace and _started(int(parts[3])) != parts[4]


def same_boot(owner: str) -> bool:
    """Whether a process of this name shares this machine's boot clock: same machine, same boot."""
    return tuple(owner.split("/")[:2]) == _place()[:2]


def told(owner: str) -> str:
    """Return a process's name in a person's words."""
    parts = owner.split("/")
    if len(parts) != 5:
        return repr(owner)
    machine, _, namespace = _place()
    if parts[0] != machine:
        return f"process {parts[3]} on machine {parts[0][:12]!r}"
    where = "" if parts[2] == namespace else " in another container"
    return f"process {parts[3]} on this machine{where}"


@cache
def _place() -> tuple[str, str, str]:
    """Return machine, boot and process namespace: within one, process numbers can be compared."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = str(Path("/proc/self/ns/pid").stat().st_ino)
    except OSError:  # not Linux
        return platform.node(), "0", "0"
    try:
        machine = Path("/etc/machine-id").read_text().strip()
    except OSError:
        machine = ""
    return machine or platform.node(), boot, namespace


def _started(pid: int) -> str:
    """Return when a process started [ticks after boot]; nothing when there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return "" if Path("/proc/self/stat").exists() else _there(pid)
    return "" if fields[0] in "ZX" else fields[19]


def _there(pid: int) -> str:
    """Return whether there is such a process, where nothing tells when it started."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        pass
    return "unknown"
