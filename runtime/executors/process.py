"""One process and all that it starts: run with bounded output, and dead when its time is over.

The process leads a session of its own. What it leaves in that session is killed when it ends; what
left the session too (a daemon) is found by the mark in its environment, and killed, when the time
limit passed.
"""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import trio

from monastery.runtime.errors import MonasteryError

_DRAIN_SECONDS = 1.0
_ROUNDS = 1000
_ROUND_SECONDS = 0.005


@dataclass(frozen=True, slots=True)
class Ended:
    """How a process ended.

    Attributes:
        exit_code: Negative for a signal; None when the time limit killed it.
        stdout, stderr: The first bytes of each.
        truncated: Whether bytes of either are missing.
    """

    exit_code: int | None
    stdout: bytes
    stderr: bytes
    truncated: bool


async def run(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    mark: str,
    timeout_seconds: float,
    max_output_bytes: int,
) -> Ended:
    """Run a program to its end, whatever happens to the caller meanwhile.

    Args:
        mark: The name of a variable in `env` whose value no other process has.
        max_output_bytes: How much is kept of each stream.

    Raises:
        OSError: The program could not be started.
        MonasteryError: It could not be killed.
    """
    with trio.CancelScope(shield=True):
        process = await trio.lowlevel.open_process(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env=dict(env),
            start_new_session=True,
        )
        assert process.stdout is not None
        assert process.stderr is not None
        out, err = _Kept(max_output_bytes), _Kept(max_output_bytes)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(out.fill, process.stdout)
            nursery.start_soon(err.fill, process.stderr)
            with trio.move_on_after(timeout_seconds) as limit:
                await _ended(process)
            # Not yet waited for: until then its number can belong to no other group.
            late = limit.cancelled_caught
            entry = f"{mark}={env[mark]}".encode() if late else None
            dead = await trio.to_thread.run_sync(_kill, process.pid, entry)
            if dead:
                await process.wait()
            with trio.move_on_after(_DRAIN_SECONDS):
                await out.full.wait()
                await err.full.wait()
            nursery.cancel_scope.cancel()
        await process.stdout.aclose()
        await process.stderr.aclose()
    if not dead:
        raise MonasteryError(
            f"processes of {argv[0]!r} cannot be killed and may still act, with "
            f"{mark}={env[mark]!r}; end them by hand"
        )
    return Ended(
        exit_code=None if late else process.returncode,
        stdout=bytes(out.kept),
        stderr=bytes(err.kept),
        truncated=out.truncated or err.truncated,
    )


@dataclass(slots=True)
class _Kept:
    """The first bytes of a stream, read to its end so that the writer is never blocked."""

    limit_bytes: int
    kept: bytearray = field(default_factory=bytearray)
    seen_bytes: int = 0
    full: trio.Event = field(default_factory=trio.Event)

    @property
    def truncated(self) -> bool:
        return self.seen_bytes > len(self.kept) or not self.full.is_set()

    async def fill(self, stream: trio.abc.ReceiveStream) -> None:
        async for chunk in stream:
            self.kept += chunk[: self.limit_bytes - len(self.kept)]
            self.seen_bytes += len(chunk)
        self.full.set()


async def _ended(process: trio.Process) -> None:
    """Wait until a child has ended, and leave it to be waited for where the system can."""
    try:
        handle = os.pidfd_open(process.pid)
    except OSError:
        await process.wait()
        return
    try:
        await trio.lowlevel.wait_readable(handle)
    finally:
        os.close(handle)


def _kill(group: int, entry: bytes | None) -> bool:
    """Kill a group, and every process that has an entry in its environment, until none is left.

    Args:
        entry: ``NAME=value``, or None to kill the group alone.

    Returns:
        Whether all are dead.
    """
    for _ in range(_ROUNDS):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)
        with suppress(OSError):  # too many open files, say: look again
            pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
            if not sum(_acts(pid, group) or _kill_if_marked(pid, entry) for pid in pids):
                return True
        time.sleep(_ROUND_SECONDS)  # they die a moment later
    return False


def _acts(pid: int, group: int) -> bool:
    """Say whether a process of the group is not dead; one that only waits for its parent is."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return False
    state, _, its_group, *_ = stat.rpartition(")")[2].split()  # a name may hold anything
    return int(its_group) == group and state not in "ZX"


def _kill_if_marked(pid: int, entry: bytes | None) -> bool:
    """Kill a process if its environment has this entry; return whether it had."""
    if entry is None or pid == os.getpid():
        return False
    with suppress(OSError):
        handle = os.pidfd_open(pid)  # holds the process, so that its number cannot change hands
        try:
            marked = entry in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            if marked:
                signal.pidfd_send_signal(handle, signal.SIGKILL)
            return marked
        finally:
            os.close(handle)
    return False
