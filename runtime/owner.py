"""Who owns a run: a process, named so that another one of the same number is not taken for it."""

import os
from pathlib import Path


def this_process() -> str:
    """Return this process's name: host boot, process id and start time, joined by colons."""
    return f"{_boot_id()}:{os.getpid()}:{_start_time(os.getpid())}"


def is_alive(owner: str) -> bool:
    """Return whether the process of this name still runs on this boot of this host."""
    boot, pid, start = owner.split(":")
    if boot != _boot_id():
        return False
    return _start_time(int(pid)) == start


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _start_time(pid: int) -> str:
    """Return when a process started [clock ticks since boot], or "" when there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    state, *fields = stat[stat.rindex(")") + 2 :].split()
    return "" if state in "ZX" else fields[18]
