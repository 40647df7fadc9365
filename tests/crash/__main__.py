"""Kill real runs with real boxes and start them again; print one JSON line.

``make crash KILLS=500 SEED=1``, or ``python -m tests.crash --seed 1 --run 17`` for one run alone.
"""

import argparse
import json
import sys

from tests.crash.harness import crash
from tests.crash.oracle import COUNTS
from tests.crash.points import POINTS


def main() -> int:
    """Kill, and report."""
    parser = argparse.ArgumentParser(description="Kill runs; print one JSON line.")
    parser.add_argument("--kills", type=int, default=25, help="how many (default 25)")
    parser.add_argument("--seed", type=int, default=1, help="what is killed where (default 1)")
    parser.add_argument("--at-once", type=int, default=4, help="runs in flight (default 4)")
    parser.add_argument("--run", type=int, help="play this run of the seed alone")
    parser.add_argument("--point", default="", help='kill here alone, say "after execute"')
    args = parser.parse_args()
    if args.point and args.point not in POINTS:
        parser.error(f"no point {args.point!r}; there are: {', '.join(POINTS)}")
    report = crash(args.kills, args.seed, at_once=args.at_once, only=args.run, point=args.point)
    print(json.dumps(report))
    return 1 if report["other_faults"] or any(report[name] for name in COUNTS) else 0


if __name__ == "__main__":
    sys.exit(main())
