"""Who made a box: a process, named so that nobody else can be taken for it."""

import os
import platform
from functools import cache
from pathlib import Path


@cache
def me() -> str:
    """Return this process's name: boot, process namespace, number, and when it started."""
    return f"{_place()}/{os.getpid()}/{_started(os.getpid())}"


def is_dead(owner: str) -> bool:
    """Whether the process of this name has surely ended; what cannot be known is alive."""
    place, _, process = owner.rpartition("/")[0].rpartition("/")
    started = owner.rpartition("/")[2]
    if place != _place() or not process.isdigit():
        return False
    return _started(int(process)) != started


def _place() -> str:
    """Return what must be equal for two process numbers to be comparable."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = os.stat("/proc/self/ns/pid").st_ino  # noqa: PTH116 - follows a magic link
    except OSError:  # not Linux
        return f"{platform.node()}/0"
    return f"{boot}/{namespace}"


def _started(pid: int) -> str:
    """Return when a process started [ticks after boot]; nothing when there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        if Path("/proc/self/stat").exists():
            return ""
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return ""
        except PermissionError:
            pass
        return "unknown"
    return "" if fields[0] in "ZX" else fields[19]
