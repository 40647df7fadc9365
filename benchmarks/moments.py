"""What alternatives cost: the copy of the work folder at each boundary, and a rollout's box.

    python benchmarks/moments.py [--count 20] [--json]

One real box. `keep` is the copy that is made at every boundary of a run with alternatives, audited
or not; `rollout` is what an audited one pays for each box that it rolls out, from its opening to
its removal, with an agent's thinking not counted. Work folders of 1 MB in 10 files, and of 100 MB
in 100. Medians and 95 % in milliseconds.
"""

import argparse
import json
import statistics
import tempfile
import time
import uuid
from pathlib import Path

import structlog
import trio

from monastery.runtime.ports import Box
from monastery.runtime.records import BoxSpec, RunId
from monastery.sandbox.box import DockerSandbox

FOLDERS = {"1 MB": (10, 100_000), "100 MB": (100, 1_000_000)}


async def measured(box: Box, count: int) -> dict[str, list[float]]:
    """Return how long each copy and each rollout took [milliseconds]."""
    keeps, rollouts = [], []
    for number in range(count):
        began = time.perf_counter()
        await box.keep_moment(str(number))
        kept = time.perf_counter()
        async with box.rollout(str(number)):
            pass
        keeps.append(1000 * (kept - began))
        rollouts.append(1000 * (time.perf_counter() - kept))
    return {"keep": keeps, "rollout": rollouts}


async def main() -> None:
    """Measure and tell."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    told = {}
    with tempfile.TemporaryDirectory() as home:
        for name, (files, size) in FOLDERS.items():
            run = RunId(f"moments-{uuid.uuid4().hex[:8]}")
            sandbox = DockerSandbox(home=Path(home))
            try:
                async with sandbox.open(run, BoxSpec("monastery-box:latest")) as box:
                    for number in range(files):
                        await box.write_file(f"data/{number}", bytes([number % 251]) * size)
                    for what, times in (await measured(box, asked.count)).items():
                        ordered = sorted(times)
                        told[f"{what}, {name}"] = {
                            "median_ms": round(statistics.median(ordered), 1),
                            "p95_ms": round(ordered[int(0.95 * (len(ordered) - 1))], 1),
                        }
            finally:
                await sandbox.forget(run)
    if asked.json:
        print(json.dumps({"count": asked.count, **told}))
        return
    for name, one in told.items():
        print(f"{name:20} {one['median_ms']:8.1f} {one['p95_ms']:8.1f}")


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    trio.run(main)
