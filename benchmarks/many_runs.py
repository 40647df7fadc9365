"""Many runs in one process beside one run alone: throughput, fairness, shared flushes.

    python benchmarks/many_runs.py [--runs 100] [--steps 50] [--box scripted|docker] [--json]

The real loop and the real store on disk; the boxes are in memory (`scripted`), or real ones
(`docker`; take a few runs, and `--boxes`). All runs have as many steps, none audited. One run
alone is lived first, with as many steps as it takes to be measured; compare the ratio.

throughput   steps a second, all runs together
spread       how many steps the foremost living run is ahead of the hindmost, at any step's end
flushes      transactions for each append: 1 is none shared
"""

import argparse
import json
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import structlog
import trio

from monastery.runtime.errors import StoreError
from monastery.runtime.executors import KINDS, Context
from monastery.runtime.journal import Record
from monastery.runtime.many import Job, Watcher, live_all
from monastery.runtime.ports import Desk, Sandbox
from monastery.runtime.project_file import Loaded, parse
from monastery.runtime.records import RunId
from monastery.runtime.rows import Append
from monastery.runtime.run import World
from monastery.runtime.runner import new_run
from monastery.runtime.store import Store
from monastery.sandbox.box import DockerSandbox
from monastery.sandbox.scripted import Inside, ScriptedSandbox

PROJECT = """
name: many
goal: Measure many runs.
agent: {{command: [python3, -c, "{agent}"]}}
box: {{memory: 256 MiB}}
steps: {{plan: {{}}}}
audit: {{rate: never}}
"""
AGENT = "import monastery_box as b; [b.propose('plan', 'a plan', 'why') for _ in range({steps})]"


class Tally:
    """Counts what all stores of this process commit."""

    transactions = 0
    appends = 0


class TalliedStore(Store):
    """A store that counts."""

    def append(self, batch: Sequence[Append]) -> list[StoreError | None]:
        """Write, and count."""
        Tally.transactions += 1
        Tally.appends += len(batch)
        return super().append(batch)


async def measure(options: argparse.Namespace, runs: int, steps: int) -> dict[str, Any]:
    """Live so many runs of so many steps; return the figures."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        source = PROJECT.format(agent=AGENT.format(steps=steps)).encode()
        loaded = parse(source, home / "project.yaml")

        async def agent(inside: Inside) -> int:
            for _ in range(steps):
                await inside.propose("plan", "a plan", "why")
            return 0

        sandbox: Sandbox = ScriptedSandbox(agent) if options.box == "scripted" else DockerSandbox()

        def build(loaded: Loaded, desk: Desk, calls: int) -> World:
            context = Context(home, loaded.project.goal, desk)
            plan = KINDS["plan"](loaded.project.steps["plan"], context)
            return World(sandbox, [], {"plan": plan}, None)

        jobs, done, spreads = list[Job](), Counter[RunId](), list[int]()
        living = Counter[RunId]()

        def event(job: Job, record: Record) -> None:
            if record.event.type == "box.started":
                living[job.run] = 0
            elif record.event.type == "run.ended":
                del living[job.run]
            elif record.event.type == "step.completed":
                done[job.run] += 1
                living[job.run] += 1
                spreads.append(max(living.values()) - min(living.values()))

        with TalliedStore.open(home) as store:
            for _ in range(runs):
                row = new_run(store, loaded)
                store.release(row.run, row.epoch)
                jobs.append(Job(row.run, lambda: loaded))
        Tally.transactions = Tally.appends = 0
        began = time.perf_counter()
        await live_all(
            home,
            jobs,
            build,
            boxes=min(options.boxes or runs, runs),
            watcher=Watcher(event),
            store=TalliedStore,
        )
        taken = time.perf_counter() - began
    assert all(job.ending is not None and job.ending.success for job in jobs), jobs
    return {
        "runs": runs,
        "steps_each": steps,
        "seconds": round(taken, 2),
        "steps_per_second": round(done.total() / taken, 1),
        "largest_spread": max(spreads),
        "flushes_an_append": round(Tally.transactions / Tally.appends, 3),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=100, help="how many at once; default 100")
    parser.add_argument("--steps", type=int, default=50, help="how many steps each; default 50")
    parser.add_argument("--boxes", type=int, help="how many boxes may live; default: all")
    parser.add_argument("--box", choices=["scripted", "docker"], default="scripted")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    if options.runs < 2 or options.steps < 2:
        parser.error("--runs and --steps must be at least 2, for a comparison")
    print(f"living one run, then {options.runs} …", file=sys.stderr)
    alone = trio.run(measure, options, 1, max(500, options.steps))
    many = trio.run(measure, options, options.runs, options.steps)
    ratio = round(many["steps_per_second"] / alone["steps_per_second"], 2)
    result = {"box": options.box, "alone": alone, "many": many, "throughput_ratio": ratio}
    if options.json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name:18}{value}")


if __name__ == "__main__":
    main()
