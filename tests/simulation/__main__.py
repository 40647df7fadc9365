"""Simulate runs until so many runtimes have died in them; print one JSON line.

python -m tests.simulation --crashes 5000 --seed 1
python -m tests.simulation --seed 1 --run 17        # that run alone, and what was wrong with it
"""

import argparse
import json
import logging
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import structlog

from tests.crash.oracle import COUNTS, Fault
from tests.simulation.lives import live


def main() -> int:
    """Simulate, and report."""
    parser = argparse.ArgumentParser(description="Simulate crashes; print one JSON line.")
    parser.add_argument("--crashes", type=int, default=5000, help="how many (default 5000)")
    parser.add_argument("--seed", type=int, default=1, help="of everything (default 1)")
    parser.add_argument("--run", type=int, help="replay this run of the seed alone")
    parser.add_argument("--faults", type=int, default=20, help="stop after so many (default 20)")
    args = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    report = simulate(args.seed, args.crashes, args.faults, only=args.run)
    print(json.dumps(report))
    return 1 if report["faults"] else 0


def simulate(seed: int, crashes: int, most: int, *, only: int | None = None) -> dict[str, object]:
    """Simulate until `crashes` runtimes died or `most` faults were seen; return the figures."""
    began = time.monotonic()
    died, runs, days = 0, 0, 0.0
    faults: list[Fault] = []
    number = 0 if only is None else only
    while died < crashes and len(faults) < most:
        with tempfile.TemporaryDirectory(dir=_memory()) as folder:
            lived = live(Path(folder), f"{seed}/{number}")
        for fault in lived.faults:
            again = f"python -m tests.simulation --seed {seed} --run {number}"
            print(f"{fault.kind}: {fault.seen} ({again})", file=sys.stderr)
        died, runs, days = died + lived.deaths, runs + 1, days + lived.days
        faults += lived.faults
        number += 1
        if only is not None:
            print(f"run {only}: {lived.deaths} deaths, {lived.told}", file=sys.stderr)
            break
    counts = Counter(fault.kind for fault in faults)
    return {
        "crashes": died,
        "runs": runs,
        "virtual_days": round(days, 1),
        **{name: counts[name] for name in COUNTS if name != "boxes_leaked"},
        "faults": len(faults),
        "kinds": sorted(counts),
        "seed": seed,
        "seconds": round(time.monotonic() - began, 1),
    }


def _memory() -> str | None:
    """Return a folder in memory: what power loss does is tested elsewhere."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


if __name__ == "__main__":
    sys.exit(main())
