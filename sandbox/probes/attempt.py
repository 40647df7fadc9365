"""How a probe tries something: in a process of its own, and what it says at the end."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import platform
import resource
import select
import signal
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

WEAK = "weak"
"""A container as the engine makes them: root, its network, its default capabilities and filter."""
BARE = "bare"
"""Besides privileged and unfiltered."""
HOST = "host"
"""Besides with the host's namespaces, and mounts of harmless things made for the purpose."""

PROBE_SECONDS = 60.0
"""When a probe counts as hung; the slowest takes 2.4 s."""

CLOSED = (errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EROFS)


class Seen(NamedTuple):
    """What an attempt saw; `open` is None when nobody can tell."""

    text: str
    open: bool | None


class Probe(NamedTuple):
    """One attempt.

    Attributes:
        control: The container in which it must come out open.
        needs: What the kernel must be built with, or the reason why there is no control.
        machine: The machine on which it means something; any, if it is empty.
    """

    name: str
    expected: str
    control: str
    attempt: Callable[[dict[str, Any]], Seen]
    needs: str = ""
    machine: str = ""


def closed(text: str) -> Seen:
    """Say that it did not work, as it should be."""
    return Seen(text, False)


def opened(text: str) -> Seen:
    """Say that it worked."""
    return Seen(text, True)


def refused(error: OSError) -> str:
    """Return the short name of an error."""
    return errno.errorcode.get(error.errno or 0, str(error))


def opens(path: str, flags: int = os.O_WRONLY) -> bool:
    """Whether a file can be opened, by default for writing."""
    try:
        os.close(os.open(path, flags | os.O_NONBLOCK))
    except OSError:
        return False
    return True


def found(things: Sequence[str], none: str, most: int = 8) -> Seen:
    """Say which doors were found; there should be none."""
    if not things:
        return closed(none)
    rest = f" and {len(things) - most} more" if len(things) > most else ""
    return opened(", ".join(things[:most]) + rest)


def call(given: dict[str, Any], name: str, *args: Any) -> tuple[int, int]:
    """Make a system call by its name; return its result and errno.

    Raises:
        LookupError: This machine has no such call.
    """
    number = given["numbers"].get(platform.machine(), {}).get(name)
    if number is None:
        raise LookupError(f"{platform.machine()} has no system call {name!r}")
    return call_number(number, *args)


def call_number(number: int, *args: Any) -> tuple[int, int]:
    """Make a system call by its number; return its result and errno."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    ctypes.set_errno(0)
    whole = [ctypes.c_long(arg) if isinstance(arg, int) else arg for arg in args]
    result = int(libc.syscall(ctypes.c_long(number), *whole))
    return result, ctypes.get_errno() if result == -1 else 0


def reaches(name: str, *args: Any) -> Callable[[dict[str, Any]], Seen]:
    """Return an attempt at a system call: open when the kernel does more than refuse it."""

    def attempt(given: dict[str, Any]) -> Seen:
        result, error = call(given, name, *args)
        if result != -1:
            return opened(f"{name} returned {result}")
        word = errno.errorcode.get(error, str(error))
        return closed(word) if error in CLOSED else opened(f"{name} reached the kernel: {word}")

    return attempt


def run_all(probes: Sequence[Probe], given: dict[str, Any]) -> list[dict[str, Any]]:
    """Make every attempt, each in a process of its own, and return what they saw."""
    found = []
    for probe in probes:
        if probe.machine and probe.machine != platform.machine():
            seen = closed(f"a door of {probe.machine}, and this is {platform.machine()}")
        else:
            seen = _alone(probe, given)
        found.append({"probe": probe.name, "seen": seen.text, "open": seen.open})
    return found


def _alone(probe: Probe, given: dict[str, Any]) -> Seen:
    read_end, write_end = os.pipe()
    try:
        child = os.fork()
    except OSError as exc:
        os.close(read_end)
        os.close(write_end)
        return Seen(f"could not be tried: {refused(exc)}", None)
    if child == 0:
        os.close(read_end)
        _speak(probe, given, write_end)
    os.close(write_end)
    said = _hear(read_end)
    os.close(read_end)
    for target in (-child, child):
        with contextlib.suppress(OSError):
            os.kill(target, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    if said is None:
        return Seen(f"did not answer within {PROBE_SECONDS:g} s", None)
    try:
        text, is_open = json.loads(said)
        return Seen(str(text), is_open)
    except ValueError:
        why = f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else "nothing said"
        return Seen(f"crashed: {why}", None)


def _speak(probe: Probe, given: dict[str, Any], write_end: int) -> None:
    """Make the attempt in the child, say what it saw, and end."""
    try:
        os.setpgid(0, 0)
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
        try:
            seen = probe.attempt(given)
        except BaseException as exc:  # noqa: BLE001 - the crash is what is reported
            seen = Seen(f"crashed: {exc!r}", None)
        os.write(write_end, json.dumps([seen.text[:20000], seen.open]).encode())
    finally:
        os._exit(0)


def _hear(read_end: int) -> bytes | None:
    """Return what a child said before it ended; None when it took too long."""
    deadline = time.monotonic() + PROBE_SECONDS
    said = b""
    while True:
        left_seconds = deadline - time.monotonic()
        if left_seconds <= 0 or not select.select([read_end], [], [], left_seconds)[0]:
            return None
        piece = os.read(read_end, 65536)
        if not piece:
            return said
        said += piece
        try:
            json.loads(said)  # a grandchild may hold the pipe open
        except ValueError:
            continue
        return said
