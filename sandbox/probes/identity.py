"""Who a box's processes are: their user, what they may do besides, and what they could become."""

from __future__ import annotations

import os
import stat
import tempfile
from typing import Any

from monastery.sandbox.probes.attempt import (
    BARE,
    HOST,
    WEAK,
    Probe,
    Seen,
    closed,
    found,
    opened,
    refused,
)


def _status() -> dict[str, str]:
    with open("/proc/self/status") as file:
        lines = [line.rstrip("\n").partition(":\t") for line in file]
    return {name: value for name, _, value in lines}


def _capabilities(name: str) -> Any:
    def attempt(given: dict[str, Any]) -> Seen:
        told = _status().get(name)
        if told is None:
            return Seen("this kernel does not tell", None)
        held = int(told, 16)
        return opened(f"{name} is {held:x}") if held else closed("none")

    return attempt


def _flag(name: str, wanted: str) -> Any:
    def attempt(given: dict[str, Any]) -> Seen:
        value = _status().get(name)
        if value is None:
            return Seen("this kernel does not tell", None)
        return Seen(f"{name} is {value}", value != wanted)

    return attempt


def _user(given: dict[str, Any]) -> Seen:
    ids = {*os.getresuid(), *os.getresgid(), *os.getgroups()}
    return Seen(f"ids {' '.join(map(str, sorted(ids)))}", 0 in ids)


def _setuid(given: dict[str, Any]) -> Seen:
    try:
        os.setresuid(0, 0, 0)
    except OSError as exc:
        return closed(refused(exc))
    return opened("the user is root")


def _setgid(given: dict[str, Any]) -> Seen:
    try:
        os.setgroups([0])
    except OSError as exc:
        return closed(refused(exc))
    return opened("the group 0 was taken")


def _chown(given: dict[str, Any]) -> Seen:
    with tempfile.NamedTemporaryFile() as file:
        try:
            os.chown(file.name, 65534, 65534)
        except OSError as exc:
            return closed(refused(exc))
    return opened("a file was given away")


def _setuid_files(given: dict[str, Any]) -> Seen:
    """Look for programs that would run as somebody else."""
    seen = []
    for top in ("/bin", "/sbin", "/usr", "/opt", "/lib", "/mnt", "/srv"):
        for folder, _, names in os.walk(top):
            for name in names:
                try:
                    mode = os.lstat(os.path.join(folder, name)).st_mode
                except OSError:
                    continue
                if mode & (stat.S_ISUID | stat.S_ISGID) and stat.S_ISREG(mode):
                    seen.append(os.path.join(folder, name))
    if seen and no_new_privileges():
        return closed(f"{len(seen)} there, of which none gives anything")
    return found(seen, "none in the image")


def no_new_privileges() -> bool:
    """Whether no program can give us rights that we have not."""
    with open("/proc/self/status") as file:
        return "NoNewPrivs:\t1" in file.read()


PROBES = (
    *(
        Probe(f"capabilities {told}", "none", WEAK, _capabilities(name), needs)
        for told, name, needs in (
            ("effective", "CapEff", ""),
            ("permitted", "CapPrm", ""),
            ("bounding", "CapBnd", ""),
            ("inheritable", "CapInh", "engines since 20.10.14 give none to anybody"),
            ("ambient", "CapAmb", "engines give none to anybody"),
        )
    ),
    Probe("new privileges", "never", WEAK, _flag("NoNewPrivs", "1")),
    Probe("system call filter", "on", BARE, _flag("Seccomp", "2")),
    Probe("user and groups", "not root", WEAK, _user),
    Probe("becoming root", "refused", WEAK, _setuid),
    Probe("becoming group 0", "refused", WEAK, _setgid),
    Probe("giving files away", "refused", WEAK, _chown),
    Probe("setuid programs", "none that works", HOST, _setuid_files),
)
"""What is tried with rights."""
