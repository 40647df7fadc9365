"""What the runtime adds to a step and to a command, beside `docker exec`, in one run.

    python benchmarks/step_overhead.py [--steps 300] [--json]

A real box on the real engine, the real loop and journal. Compare ratios, not milliseconds: machines
are noisy.

step      from the receipt of a proposal to its outcome handed back: freeze, three durable records,
          draw, gate, a step that only records (`plan`), thaw; not audited
command   `true` in a running box, through the guest
floor     `true` forked and waited for by this program, on the host
docker exec  `true` in the same container, through the Docker SDK
freeze    every process of the box stopped, confirmed
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import docker
import structlog
import trio

from monastery.runtime.executors import KINDS, Context
from monastery.runtime.ports import Box, Desk
from monastery.runtime.project_file import parse
from monastery.runtime.records import BoxSpec, FromAgent, ProposalRequest, RunId
from monastery.runtime.run import World
from monastery.runtime.runner import go, new_run
from monastery.runtime.store import Store
from monastery.sandbox.box import DockerSandbox

PROJECT = """
name: overhead
goal: Measure what the runtime adds.
agent:
  command: [python3, -c, "{agent}"]
steps:
  plan: {{audit: never}}
audit: {{rate: never}}
"""
AGENT = "import monastery_box as b; [b.propose('plan', 'a plan', 'why') for _ in range({steps})]"
PEOPLE = {
    "step_ms": "a whole unaudited step",
    "command_ms": "`true` in the box, through the guest",
    "floor_ms": "`true` on the host, no box (floor)",
    "docker_exec_ms": "`true` in the box, `docker exec` by SDK",
    "freeze_ms": "freeze, confirmed",
    "thaw_ms": "thaw",
}


class TimedBox:
    """A box that notes when a proposal came and when its outcome went."""

    def __init__(self, box: Box, steps: list[float]) -> None:
        self._box, self._steps, self._came = box, steps, 0.0

    def __getattr__(self, name: str) -> Any:
        """Pass on everything that is not timed."""
        return getattr(self._box, name)

    async def receive(self) -> FromAgent:
        """Note when a proposal came."""
        said = await self._box.receive()
        if isinstance(said, ProposalRequest):
            self._came = time.perf_counter()
        return said

    async def answer(self, call: int, body: Mapping[str, Any] | bytes) -> None:
        """Note when its outcome went."""
        await self._box.answer(call, body)
        self._steps.append(time.perf_counter() - self._came)


class TimedSandbox(DockerSandbox):
    """Makes timed boxes."""

    def __init__(self, steps: list[float]) -> None:
        super().__init__()
        self._steps = steps

    @asynccontextmanager
    async def open(self, run: RunId, spec: BoxSpec) -> AsyncIterator[Any]:
        """Open a real box and time it."""
        async with super().open(run, spec) as box:
            yield TimedBox(box, self._steps)


async def measure_steps(home: Path, steps: int) -> list[float]:
    """Return the seconds of so many unaudited steps in one run."""
    source = PROJECT.format(agent=AGENT.format(steps=steps)).encode()
    loaded = parse(source, home / "project.yaml")
    taken: list[float] = []

    def build(desk: Desk, calls: int) -> World:
        context = Context(home, loaded.project.goal, desk)
        plan = KINDS["plan"](loaded.project.steps["plan"], context)
        return World(TimedSandbox(taken), [], {"plan": plan}, None)

    with Store.open(home) as store:
        row = new_run(store, loaded)
    ending = await go(home, row, loaded, build, lambda record: None)
    assert ending.success, ending
    assert len(taken) == steps
    return taken


async def measure_box(count: int) -> dict[str, list[float]]:
    """Return the seconds of commands, freezes and thaws in one box."""
    found: dict[str, list[float]] = {name: [] for name in PEOPLE}
    sandbox, run = DockerSandbox(), RunId(f"benchmark-{time.time_ns()}")
    async with sandbox.open(run, BoxSpec("monastery-box:latest")) as box:
        container = docker.from_env().containers.get(box.facts.box)
        for _ in range(count):  # side by side, so that noise hits all alike
            found["command_ms"].append(await _timed(lambda: box.run(["true"])))
            found["floor_ms"].append(_clock(lambda: subprocess.run(["true"], check=True)))
            found["freeze_ms"].append(await _timed(box.freeze))
            found["thaw_ms"].append(await _timed(box.thaw))
        for _ in range(max(count // 10, 10)):
            found["docker_exec_ms"].append(_clock(lambda: container.exec_run(["true"])))
    await sandbox.forget(run)
    return found


async def _timed(call: Callable[[], Any]) -> float:
    began = time.perf_counter()
    await call()
    return time.perf_counter() - began


def _clock(call: Callable[[], Any]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def summary(seconds: list[float]) -> dict[str, float]:
    """Return median and 95th percentile [ms]; the first tenth is warm-up and left out."""
    kept = sorted(seconds[len(seconds) // 10 :])
    p95 = kept[min(len(kept) - 1, round(0.95 * len(kept)))]
    return {"median": round(statistics.median(kept) * 1e3, 3), "p95": round(p95 * 1e3, 3)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=300, help="how many steps and commands")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    if options.steps < 20:
        parser.error("--steps must be at least 20, for a median and a 95th percentile")
    print(f"measuring {options.steps} steps and commands …", file=sys.stderr)
    with tempfile.TemporaryDirectory() as home:
        taken = trio.run(measure_steps, Path(home), options.steps)
    found = trio.run(measure_box, options.steps) | {"step_ms": taken}
    result = {name: summary(found[name]) for name in PEOPLE}
    if options.json:
        print(json.dumps(result))
        return
    print(f"{'':42}{'median':>10}{'p95':>10}")
    for name, words in PEOPLE.items():
        print(f"{words:42}{result[name]['median']:>7.3f} ms{result[name]['p95']:>7.3f} ms")


if __name__ == "__main__":
    main()
