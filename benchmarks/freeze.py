"""How surely, and how fast, a box is frozen: the engine's pause beside the ways we take.

    python benchmarks/freeze.py [--count 1000] [--json]

One box (1 GiB, 1 CPU, 128 processes), idle and then attacked: four processes that spin and count in
shared memory, one that forks and one that vforks without end. Compare ratios, not milliseconds.

pause         one `pause` through the Engine API, as peers do it; it fails when the engine refuses
engine        ours for engines elsewhere: pause until the engine says that it is paused
cgroup-v1     ours on this machine: freezer.state, again and again until it reads FROZEN
cgroup-v2     ours on this machine where it is there: cgroup.freeze, confirmed in cgroup.events

A freeze is unconfirmed when it failed, or when a counter moved after it.
"""

import argparse
import json
import statistics
import sys
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import structlog
import trio

from monastery.runtime.errors import FreezeFailed
from monastery.runtime.records import BoxLimits, BoxSpec, RunId
from monastery.sandbox import cgroup
from monastery.sandbox.box import DockerSandbox
from monastery.sandbox.engine import Engine
from monastery.sandbox.freezer import CgroupV1, CgroupV2, EnginePause, Freezer

ATTACK = """
import mmap, os, subprocess, monastery_box
with open("ticks", "wb+") as file:
    file.write(bytes(4096))
    file.flush()
    ticks = mmap.mmap(file.fileno(), 4096)
for turn in range(6):
    if os.fork() == 0:
        count = 0
        while True:
            count += 1
            ticks[turn * 8 : turn * 8 + 8] = count.to_bytes(8, "little")
            if turn == 4:
                child = os.fork()
                if child == 0: os._exit(0)
                os.waitpid(child, 0)
            elif turn == 5:
                subprocess.run(["true"])
monastery_box.model({})
monastery_box.model({})
"""


@dataclass
class Way:
    """A way to freeze, and what came of it."""

    freeze: Callable[[], Awaitable[None]]
    thaw: Callable[[], Awaitable[None]]
    seconds: list[float] = field(default_factory=list)
    unconfirmed: int = 0

    def figures(self) -> dict[str, Any]:
        """Return the failure rate and the times of the freezes that were confirmed."""
        count = len(self.seconds) + self.unconfirmed
        if not self.seconds:
            return {"freezes": count, "unconfirmed": self.unconfirmed}
        ordered = sorted(1000 * seconds for seconds in self.seconds)
        return {
            "freezes": count,
            "unconfirmed": self.unconfirmed,
            "median_ms": round(statistics.median(ordered), 3),
            "p95_ms": round(ordered[int(0.95 * (len(ordered) - 1))], 3),
            "max_ms": round(ordered[-1], 3),
        }


async def main(count: int) -> dict[str, dict[str, Any]]:
    """Freeze one box, idle and attacked, in every way that this machine has."""
    engine, sandbox = Engine(), DockerSandbox()
    await engine.connect()
    run = RunId(f"freeze-{uuid.uuid4().hex[:8]}")
    spec = BoxSpec("monastery-box:latest", BoxLimits(cpus=1.0, pids=128))
    found: dict[str, dict[str, Any]] = {}
    try:
        async with sandbox.open(run, spec) as box:
            for state in ("idle", "attacked"):
                if state == "attacked":
                    await box.write_file("attack.py", ATTACK.encode())
                    await box.start_agent(["python3", "attack.py"], env={}, history=b"[]")
                    await box.receive()
                found[state] = {}
                async for name, way in _ways(engine, box.facts.box):
                    for _ in range(count):
                        await _once(way, box._work.folder / "ticks")  # type: ignore[attr-defined]
                    found[state][name] = way.figures()
    finally:
        await sandbox.forget(run)
    return found


async def _ways(engine: Engine, container: str) -> AsyncIterator[tuple[str, Way]]:
    """Yield the ways to freeze a container that there are here."""
    pause, unpause = partial(engine.pause, container), partial(engine.unpause, container)
    ours = EnginePause(pause, unpause, partial(engine.is_paused, container))
    yield "pause", Way(pause, ours.thaw)
    yield "engine", Way(ours.freeze, ours.thaw)
    inspected = await engine.inspect(container)
    assert inspected is not None
    kinds: tuple[tuple[str, type[CgroupV1] | type[CgroupV2], str], ...] = (
        ("freezer", CgroupV1, "freezer.state"),
        ("", CgroupV2, "cgroup.freeze"),
    )
    for controller, kind, needs in kinds:
        folder = cgroup.find(int(inspected["State"]["Pid"]), container, controller)
        if folder is not None and (folder / needs).exists():
            freezer: Freezer = kind(folder)
            yield kind.name, Way(freezer.freeze, freezer.thaw)


async def _once(way: Way, ticks: Path) -> None:
    """Freeze, see that nothing moves, and thaw."""
    started = time.perf_counter()
    try:
        await way.freeze()
    except (FreezeFailed, EnginePause.Refused):
        way.unconfirmed += 1
    else:
        took = time.perf_counter() - started
        if _moves(ticks):
            way.unconfirmed += 1
        else:
            way.seconds.append(took)
    await way.thaw()
    await trio.sleep(0.001)  # let it run, or the next freeze would find it where this one left it


def _moves(ticks: Path) -> bool:
    """Whether a counter in the box goes on."""
    return ticks.exists() and len({ticks.read_bytes() for _ in range(3)}) > 1


def tell(found: dict[str, dict[str, Any]]) -> None:
    """Print a table for people."""
    print(
        f"{'box':<10}{'way':<12}{'freezes':>9}{'unconfirmed':>13}{'median':>10}{'p95':>10}{'max':>10}"
    )
    for state, ways in found.items():
        for name, one in ways.items():
            times = "".join(
                f"{one[key]:>8} ms" if key in one else f"{'-':>11}"
                for key in ("median_ms", "p95_ms", "max_ms")
            )
            print(f"{state:<10}{name:<12}{one['freezes']:>9}{one['unconfirmed']:>13}{times}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure freezes.")
    parser.add_argument("--count", type=int, default=200, help="freezes of each way (default 200)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    measured = trio.run(main, arguments.count)
    if arguments.json:
        print(json.dumps(measured))
    else:
        tell(measured)
    bad = [
        name
        for ways in measured.values()
        for name, one in ways.items()
        if name != "pause" and one["unconfirmed"]
    ]
    sys.exit(f"unconfirmed freezes of ours: {bad}" if bad else 0)
