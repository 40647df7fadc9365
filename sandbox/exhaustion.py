"""Attempts to use up everything: each in a box of its own, while another box and we go on.

An attack holds when it ends as it should, and when meanwhile a neighbour's command was never slower
than `SLOWEST_SECONDS`.
"""

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

import trio

from monastery.runtime.errors import BoxError, LimitExceeded
from monastery.runtime.ports import Box, Sandbox
from monastery.runtime.records import AgentExited, BoxSpec, RunId
from monastery.sandbox import attacks
from monastery.sandbox.finding import Finding

SLOWEST_SECONDS = 2.0
"""The slowest command of a neighbour that is borne: 1.2 ms is usual on an idle machine."""

_ENDS_SECONDS = 150.0
"""When an attack counts as one without an end: the slowest takes 8 s on an idle machine."""


@dataclass(frozen=True)
class Attack:
    """One attempt.

    Attributes:
        play: Makes it, and returns what was seen and whether that is as expected.
    """

    name: str
    expected: str
    play: Callable[[Box], Awaitable[tuple[str, bool]]]


async def exhaust(sandbox: Sandbox, spec: BoxSpec, neighbour: Box) -> list[Finding]:
    """Make every attempt, one after the other."""
    return [await attack_one(attack, sandbox, spec, neighbour) for attack in ATTACKS]


async def attack_one(
    attack: Attack,
    sandbox: Sandbox,
    spec: BoxSpec,
    neighbour: Box,
    *,
    slowest_seconds: float = SLOWEST_SECONDS,
) -> Finding:
    """Make one attempt in a new box, and watch the neighbour meanwhile.

    Args:
        slowest_seconds: How slow a command of the neighbour's may be; more on a busy machine.
    """
    run = RunId(f"exhaust-{secrets.token_hex(4)}")
    slowest = [0.0]
    try:
        async with sandbox.open(run, spec) as box, trio.open_nursery() as nursery:
            nursery.start_soon(_watch, neighbour, slowest)
            with trio.move_on_after(_ENDS_SECONDS) as scope:
                seen, holds = await attack.play(box)
            if scope.cancelled_caught:
                seen, holds = f"no end within {_ENDS_SECONDS} s", False
            nursery.cancel_scope.cancel()
    except* BoxError as exc:
        seen, holds = f"the box broke: {_first(exc)}", False
    finally:
        with trio.CancelScope(shield=True):
            await sandbox.forget(run)
    told = f"{seen}; the neighbour's slowest command took {slowest[0] * 1000:.0f} ms"
    verdict = holds and slowest[0] < slowest_seconds
    return Finding(attack.name, attack.expected, told, "holds" if verdict else "fails")


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def _watch(neighbour: Box, slowest: list[float]) -> None:
    while True:
        began = trio.current_time()
        await neighbour.run(["true"])
        slowest[0] = max(slowest[0], trio.current_time() - began)
        await trio.sleep(0.02)


async def _survives(
    box: Box,
    text: str,
    *,
    seconds: float = 3.0,
    ends: bool | None = None,
    says: str = "",
    leaves_files: bool = False,
) -> tuple[str, bool]:
    """Run a program, perhaps until its time is over; the box must then be as good as new.

    Args:
        ends: Whether it must end by itself, or must not; either will do, if it is None.
        says: How each line must begin that it prints; there must be one then.
        leaves_files: Whether files that count as memory stay behind: then the box must still
            answer, though a command may be killed for the memory that they take.
    """
    result = await box.run(["python3", "-c", text], timeout_seconds=seconds)
    after = await box.run(["python3", "-c", "print('well')"])
    how = "its time was over" if result.timed_out else f"it ended with {result.exit_code}"
    said = result.stdout[:200].decode("utf-8", "replace").splitlines()
    told = f" ({', '.join(said)})" if said else ""
    seen = f"{how}{told}; the box goes on"
    well = after.stdout == b"well\n" or (leaves_files and after.exit_code == -9)
    if not well:
        return f"{how}; then a command ended with {after.exit_code}", False
    killed = leaves_files and result.exit_code == -9
    as_told = killed or not says or (bool(said) and all(line.startswith(says) for line in said))
    return seen, as_told and ends in (None, not result.timed_out)


async def _fills(box: Box, text: str) -> tuple[str, bool]:
    """Fill the work folder until it takes no more; what it held before can still be removed."""
    result = await box.run(["python3", "-c", text], timeout_seconds=_ENDS_SECONDS)
    seen = result.stdout[:200].decode("utf-8", "replace").strip()
    swept = await box.run(["sh", "-c", "find . -mindepth 1 -delete && echo swept"])
    return seen, "No space left on device" in seen and swept.stdout == b"swept\n"


async def _agent_ends(
    box: Box, text: str, error: type[BoxError], words: tuple[str, ...]
) -> tuple[str, bool]:
    """Run a program as the agent, until the box says what it used too much of."""
    await box.write_file("attack.py", text.encode())
    await box.start_agent(["python3", "attack.py"], env={}, history=b"[]")
    try:
        said = await box.receive()
    except BoxError as exc:
        return f"{type(exc).__name__}: {exc}", isinstance(exc, error) and any(
            word in str(exc) for word in words
        )
    return f"the agent said {said!r:.200}", False


async def _flood(box: Box, stream: str) -> tuple[str, bool]:
    """Print 300 MB: what is not kept is counted."""
    text = f"import sys; [sys.{stream}.write('x' * 1000000) for _ in range(300)]"
    result = await box.run(["python3", "-c", text], timeout_seconds=120.0, max_output_bytes=1 << 20)
    seen = result.stdout_seen_bytes if stream == "stdout" else result.stderr_seen_bytes
    kept = len(result.stdout) + len(result.stderr)
    return f"{seen} bytes seen, {kept} kept", seen == 300_000_000 and kept == 1 << 20


async def _prints(box: Box) -> tuple[str, bool]:
    """Print 100 MB as the agent."""
    text = "import sys; [sys.stdout.write('y' * 1000000) for _ in range(100)]"
    await box.write_file("attack.py", text.encode())
    await box.start_agent(["python3", "attack.py"], env={}, history=b"[]")
    said = await box.receive()
    told = box.take_transcript()
    exited = isinstance(said, AgentExited) and said.exit_code == 0
    seen = f"{told.seen_bytes} bytes seen, {len(told.text)} kept"
    return seen, exited and told.seen_bytes == 100_000_000 and len(told.text) <= 1 << 20


ATTACKS = (
    Attack(
        "fork bomb",
        "killed when its time is over",
        partial(_survives, text=attacks.FORKS, ends=False),
    ),
    Attack(
        "spinning",
        "killed when its time is over",
        partial(_survives, text=attacks.SPINS, ends=False),
    ),
    Attack(
        "memory bomb",
        "reported as out of memory",
        partial(_agent_ends, text=attacks.MEMORY, error=LimitExceeded, words=("memory",)),
    ),
    Attack(
        "memory bomb in files",
        "reported as out of memory",
        partial(_agent_ends, text=attacks.MEMORY_FILES, error=BoxError, words=("memory",)),
    ),
    Attack("disk of the work folder", "no space left", partial(_fills, text=attacks.DISK)),
    Attack("files of the work folder", "no space left", partial(_fills, text=attacks.WORK_INODES)),
    Attack(
        "files of /tmp and /run",
        "bounded",
        partial(
            _survives, text=attacks.INODES, seconds=120.0, ends=True, says="/", leaves_files=True
        ),
    ),
    Attack(
        "files of /dev/shm",
        "reported as out of memory",
        partial(_agent_ends, text=attacks.INODES_SHM, error=BoxError, words=("memory",)),
    ),
    Attack("open files", "bounded", partial(_survives, text=attacks.FILES)),
    Attack("300 MB of output", "cut and counted", partial(_flood, stream="stdout")),
    Attack("300 MB of errors", "cut and counted", partial(_flood, stream="stderr")),
    Attack("100 MB printed by the agent", "cut and counted", _prints),
    Attack("flood of the guest's socket", "no harm", partial(_survives, text=attacks.SOCKETS)),
    Attack(
        "endless line to the guest",
        "cut off",
        partial(_survives, text=attacks.LINE, seconds=100.0, ends=True, says="cut off"),
    ),
    Attack(
        "deep and hostile JSON to the guest",
        "refused",
        partial(_survives, text=attacks.DEEP, seconds=100.0, ends=True, says="refused"),
    ),
    Attack(
        "slow writers to the guest", "no harm", partial(_survives, text=attacks.SLOW, ends=False)
    ),
    Attack("signals to the guest", "no harm", partial(_survives, text=attacks.KILLS)),
)
"""Everything that can be used up, and how it is tried."""
