"""What grows with a run's length: step time, memory, resume, and the commands that read it.

    python benchmarks/long_run.py [--steps 10000] [--box scripted|docker] [--json]

One run of so many steps over the real loop and the real store on disk, each with a model call, a
payload and an outcome of about `--payload` bytes, and one in five audited by a program in memory.
The box is in memory (`scripted`), or a real one (`docker`; take a few hundred steps). Every part
is a process of its own, so that its memory is its own. Compare ratios, not milliseconds; on a
machine that others use as well, processor times and not the clock's.

live     steps one after the other; the last thousand (or fifth) beside the first
resume   the interrupted run taken up by another process, to where its agent has been started
runs, show, verify, export   the commands, to their exit; the largest memory that each had
"""

import argparse
import itertools
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from array import array
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import structlog
import trio

from monastery.runtime.executors import KINDS, Context
from monastery.runtime.journal import Record
from monastery.runtime.owner import this_process
from monastery.runtime.ports import Box, Desk, Forkable, Sandbox
from monastery.runtime.project_file import Loaded, parse
from monastery.runtime.records import BoxSpec, Case, RunId, Vote
from monastery.runtime.run import World
from monastery.runtime.runner import go, new_run
from monastery.runtime.store import Store
from monastery.sandbox.box import DockerSandbox
from monastery.sandbox.scripted import Inside, ScriptedSandbox

PROJECT = """
name: long
goal: Measure what grows.
agent: {{command: [python3, -c, "{agent}"]}}
steps: {{plan: {{}}}}
audit: {{rate: 0.2, auditors: [{{command: ["true"]}}]}}
limits: {{steps: 1000000}}
"""
AGENT = """
import monastery_box as b, time
for n in range(len(b.history()), {steps}):
    print('thinking of', n, flush=True)
    b.model(dict(n=n))
    b.propose('plan', str(n) + ' x' * {half}, 'because')
time.sleep(1e6)
"""


class Approves:
    """Judges everything good, at once."""

    name = "approves"

    async def judge(self, case: Case, box: Forkable) -> Vote:
        """Approve."""
        await trio.lowlevel.checkpoint()
        return Vote(self.name, "approve", 0.75)


class Echo:
    """A policy that answers as much as the payload will have."""

    name = "echo"

    def __init__(self, size_bytes: int) -> None:
        self._size_bytes = size_bytes

    async def call(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Answer."""
        await trio.lowlevel.checkpoint()
        return {"n": body["n"], "text": "y" * self._size_bytes}


class Watched:
    """A box that notes when its agent was started and when each outcome went."""

    def __init__(self, box: Box, seen: "Seen") -> None:
        self._box, self._seen = box, seen

    def __getattr__(self, name: str) -> Any:
        """Pass on everything else."""
        return getattr(self._box, name)

    async def start_agent(
        self, argv: Sequence[str], *, env: Mapping[str, str], history: bytes
    ) -> None:
        """Note when it is done."""
        await self._box.start_agent(argv, env=env, history=history)
        self._seen.history_bytes = len(history)
        self._seen.agent_started = time.perf_counter()
        self._seen.agent_started_cpu = time.process_time()
        if self._seen.stop_when_started is not None:
            self._seen.stop_when_started.cancel()

    async def answer(self, call: int, body: Mapping[str, Any] | bytes) -> None:
        """Note when an outcome went."""
        await self._box.answer(call, body)
        if "status" in body:
            self._seen.step()


class Seen:
    """What one process saw of its run.

    Attributes:
        ends: When each outcome was handed back [seconds].
        cpu: How much processor time had gone by then [seconds]; other work does not touch it.
        memory: Resident bytes, at every twentieth of the steps.
    """

    def __init__(self, steps: int) -> None:
        self.ends, self.cpu, self.memory = array("d"), array("d"), array("q")
        self.agent_started = self.agent_started_cpu = 0.0
        self.history_bytes = 0
        self.stop_when_started: trio.CancelScope | None = None
        self._every = max(1, steps // 20)

    def step(self) -> None:
        """Note that a step is over."""
        self.ends.append(time.perf_counter())
        self.cpu.append(time.process_time())
        if len(self.ends) % self._every == 0:
            self.memory.append(resident_bytes())


def resident_bytes() -> int:
    """Return how much memory this process has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


class WatchedSandbox:
    """Makes watched boxes."""

    def __init__(self, inner: Sandbox, seen: Seen) -> None:
        self._inner, self._seen = inner, seen
        self.forget, self.reap = inner.forget, inner.reap

    @asynccontextmanager
    async def open(self, run: RunId, spec: BoxSpec) -> AsyncIterator[Any]:
        """Open a box and watch it."""
        async with self._inner.open(run, spec) as box:
            yield Watched(box, self._seen)


def loaded_project(home: Path, options: argparse.Namespace) -> Loaded:
    """Return the project, as the file in the home has it."""
    agent = AGENT.format(steps=options.steps, half=options.payload // 2).replace("\n", "\\n")
    source = PROJECT.format(agent=agent).encode()
    (home / "project.yaml").write_bytes(source)
    return parse(source, home / "project.yaml")


async def live(home: Path, options: argparse.Namespace, *, resume: bool) -> dict[str, Any]:
    """Live the run for its steps, or resume it until its agent is started; stop it there."""
    seen, loaded = Seen(options.steps), loaded_project(home, options)
    stop = trio.CancelScope()
    if resume:
        seen.stop_when_started = stop

    async def agent(inside: Inside) -> int:
        for number in range(len(inside.history), options.steps):
            inside.print(f"thinking of {number}")
            await inside.model({"n": number})
            await inside.propose("plan", str(number) + " x" * (options.payload // 2), "because")
        stop.cancel()
        await trio.sleep_forever()
        return 0

    def build(desk: Desk, calls: int) -> World:
        context = Context(home, loaded.project.goal, desk)
        plan = KINDS["plan"](loaded.project.steps["plan"], context)
        inner: Sandbox = ScriptedSandbox(agent) if options.box == "scripted" else DockerSandbox()
        sandbox = WatchedSandbox(inner, seen)
        return World(sandbox, [Approves()], {"plan": plan}, Echo(options.payload))

    def watch(record: Record) -> None:
        event = record.event
        if event.type == "segment.started" and event.index > options.steps:
            stop.cancel()

    began, began_cpu = time.perf_counter(), time.process_time()
    with Store.open(home) as store:
        row = store.claim(store.runs()[0].run, this_process()) if resume else new_run(store, loaded)
    with stop:
        await go(home, row, loaded, build, watch)
    if resume:
        return {
            "seconds": round(seen.agent_started - began, 3),
            "cpu_seconds": round(seen.agent_started_cpu - began_cpu, 3),
            "history_mb": round(seen.history_bytes / 1e6, 2),
            "peak_mb": peak_mb(),
        }
    return steps_figures(seen) | {"events": _events(home), "peak_mb": peak_mb()}


def peak_mb() -> float:
    """Return the largest memory that this process had."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


def steps_figures(seen: Seen) -> dict[str, Any]:
    """Return how long the first and the last steps took, and their ratios."""
    wall, cpu, part = _each(seen.ends), _each(seen.cpu), min(1000, len(seen.ends) // 5)
    memory = [one / (1 << 20) for one in seen.memory]
    settled = memory[len(memory) // 10 :]
    return {
        "steps": len(seen.ends),
        "compared": part,
        "first_ms": _ms(wall[:part]),
        "last_ms": _ms(wall[-part:]),
        "ratio": round(_ms(wall[-part:]) / _ms(wall[:part]), 3),
        "cpu_first_ms": _ms(cpu[:part]),
        "cpu_last_ms": _ms(cpu[-part:]),
        "cpu_ratio": round(statistics.fmean(cpu[-part:]) / statistics.fmean(cpu[:part]), 3),
        "seconds": round(seen.ends[-1] - seen.ends[0], 1),
        "memory_mb": [round(one, 1) for one in memory],
        "grown_mb": round(settled[-1] - settled[0], 1),
    }


def _each(ends: Sequence[float]) -> list[float]:
    return [later - one for one, later in itertools.pairwise(ends)]


def _ms(seconds: list[float]) -> float:
    return round(statistics.median(seconds) * 1e3, 3)


def _events(home: Path) -> int:
    with Store.open(home, create=False) as store:
        return store.runs()[0].seq


def command(home: Path, *args: str) -> dict[str, Any]:
    """Run a command of `monastery` to its end; return its seconds, its peak and its output."""
    argv = [sys.executable, "-m", "monastery.runtime.cli.main", *args, "--home", str(home)]
    began = time.perf_counter()
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(argv, stdout=out, stderr=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        taken = time.perf_counter() - began
        return {
            "seconds": round(taken, 2),
            "cpu_seconds": round(used.ru_utime + used.ru_stime, 2),
            "peak_mb": round(used.ru_maxrss / 1024, 1),
            "output_mb": round(out.tell() / 1e6, 2),
            "code": process.returncode,
        }


def part(home: Path, options: argparse.Namespace, which: str) -> dict[str, Any]:
    """Run a part of this program in a process of its own."""
    argv = [sys.executable, __file__, "--part", which, "--home", str(home), "--box", options.box]
    argv += ["--steps", str(options.steps), "--payload", str(options.payload)]
    done = subprocess.run(argv, stdout=subprocess.PIPE, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def measure(home: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Return all figures."""
    result: dict[str, Any] = {"box": options.box, "payload_bytes": options.payload}
    result["live"] = part(home, options, "live")
    result["resume"] = part(home, options, "resume")
    result["runs"] = command(home, "runs")
    result["show"] = command(home, "show", "last")
    result["show_json"] = command(home, "show", "last", "--json")
    result["show_segment"] = command(home, "show", "last", "--segment", str(options.steps))
    result["verify"] = command(home, "verify", "last")
    if options.export:
        result["export"] = command(home, "export", "last", "--to", "jsonl")
    result["home_mb"] = round(sum(one.stat().st_size for one in home.rglob("*")) / 1e6, 1)
    return result


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=10_000, help="how many steps; default 10,000")
    parser.add_argument("--payload", type=int, default=2048, help="bytes of each payload")
    parser.add_argument("--box", choices=["scripted", "docker"], default="scripted")
    parser.add_argument("--export", action="store_true", help="measure `monastery export` too")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--home", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--part", choices=["live", "resume"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    if options.steps < 20:
        parser.error("--steps must be at least 20, for a first and a last part")
    if options.part:
        resume = options.part == "resume"
        print(json.dumps(trio.run(lambda: live(options.home, options, resume=resume))))
        return
    print(f"living {options.steps} steps …", file=sys.stderr)
    with tempfile.TemporaryDirectory() as home:
        result = measure(Path(home), options)
        if options.box == "docker":
            with Store.open(Path(home)) as store:
                trio.run(DockerSandbox().forget, store.runs()[0].run)
    if options.json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name:14}{value}")


if __name__ == "__main__":
    main()
