"""Camera Dropbox: what an agent learns that looks so many steps ahead, with and without approval.

Without arguments, every figure and table is made. With a question, it is answered:

  study.py --horizons 1,4,12,50 --approval good
  study.py --rows 5 --cols 5 --boxes 3 --horizons 1-30 --approval none --json
  study.py --horizons 1,8,50 --noise 0.5 --seeds 10
  study.py --horizons 1 --iterate 12 --json
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any, NoReturn

try:
    from camera.approval import Approval
    from camera.question import HORIZONS, STEPS, Question, answer
    from camera.world import Impossible, Size

    from monastery.runtime.cli.bar import ticking
except ModuleNotFoundError as missing:
    sys.exit(f"study.py: {missing.name} is missing: pip install -e '.[study]'")

FIGURES = Path(__file__).resolve().parent / "figures"
SIZE = ("rows", "cols", "boxes", "blockers")
QUESTION = (*SIZE, "steps", "horizons", "approval", "noise", "seeds", "iterate", "json")
BAD = 2


class Parser(argparse.ArgumentParser):
    """One that says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        """Say it and end with code 2."""
        print(f"study.py: {message} (--help shows examples)", file=sys.stderr)
        sys.exit(BAD)


def main(given: list[str] | None = None) -> int:
    """Answer, or make every figure; return the exit code: 0, or 2 for bad input."""
    parser = _parser()
    options = parser.parse_args(given)
    asked = {
        name: getattr(options, name) for name in QUESTION if getattr(options, name) is not None
    }
    try:
        if not asked:
            return _study(options)
        if options.out is not None or options.only is not None:
            raise Impossible("--out and --only belong to the whole study, not to a question")
        question = _question(asked)
        with ticking("planning", question.ticks) as tick:
            rows = answer(question, tick=tick)
    except Impossible as fault:
        parser.error(str(fault))
    for line in [json.dumps(row) for row in rows] if options.json else _lines(rows):
        print(line)
    return 0


def _study(options: argparse.Namespace) -> int:
    try:
        from camera.parts import study
    except ModuleNotFoundError as missing:
        raise Impossible(f"{missing.name} is missing: pip install -e '.[study]'") from missing
    study(options.out or FIGURES, options.only)
    return 0


def _question(asked: dict[str, Any]) -> Question:
    size = Size(**{name: asked[name] for name in SIZE if name in asked})
    rest = {name: asked[name] for name in ("steps", "noise", "seeds") if name in asked}
    steps = rest.get("steps", STEPS)
    horizons = asked.get("horizons", tuple(h for h in HORIZONS if h <= steps))
    approval = Approval.parse(asked.get("approval", "good"))
    rounds = asked.get("iterate")
    return Question(size=size, horizons=horizons, approval=approval, rounds=rounds, **rest)


def _lines(rows: list[dict[str, Any]]) -> list[str]:
    """Lay the rows out as a table."""
    first = rows[0]
    names = [name for name in first if name == "round" or name in COLUMNS]
    noisy = first["noise"] and first["seeds"] > 1
    title = (
        f"{first['rows']}x{first['cols']}, {first['boxes']} boxes, camera blind with "
        f"{first['blockers']}, {first['steps']} steps: {first['states']} states, {first['starts']} "
        f"starts; approval {first['approval']}, noise {first['noise']:g}"
    )
    lines = [title, "  ".join(f"{name.replace('_return', ''):>12}" for name in names)]
    for row in rows:
        cells = []
        for name in names:
            if name in ("horizon", "round"):
                cells.append(f"{row[name]:>12}")
                continue
            spread = f" ±{row['spread'][name]:.3f}" if noisy else ""
            cells.append(f"{row[name]:.4f}{spread}".rjust(12))
        lines.append("  ".join(cells))
    if noisy:
        lines.append(f"mean of {first['seeds']} seeds ± standard deviation between them")
    return lines


COLUMNS = ("horizon", "failure", "desired", "hack", "observed_return", "true_return")


def _horizons(text: str) -> tuple[int, ...]:
    """Read "1,4,12" and "1-50"."""
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if not first.strip().isdecimal() or (dash and not last.strip().isdecimal()):
            raise argparse.ArgumentTypeError(
                f"{text!r}: give numbers of steps, as in 1,4,12 or 1-50"
            )
        low, high = int(first), int(last) if dash else int(first)
        if high < low or high > 1_000_000:
            raise argparse.ArgumentTypeError(f"{text!r}: {part!r} is no range")
        found.extend(range(low, high + 1))
    return tuple(found)


def _parser() -> Parser:
    docs = __doc__ or ""
    parser = Parser(
        prog="study.py",
        description=docs.partition("\n")[0],
        epilog=docs.partition("\n\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    world = parser.add_argument_group("the world")
    world.add_argument("--rows", type=int, metavar="N", help="of the grid (4)")
    world.add_argument("--cols", type=int, metavar="N", help="of the grid (4)")
    world.add_argument("--boxes", type=int, metavar="N", help="at the start (2)")
    world.add_argument(
        "--blockers",
        type=int,
        metavar="N",
        help="boxes on the bottom row that blind the camera (1)",
    )
    world.add_argument(
        "--steps", type=int, metavar="T", help=f"in an episode; the last earns nothing ({STEPS})"
    )
    agent = parser.add_argument_group("agent and overseer")
    agent.add_argument(
        "--horizons", type=_horizons, metavar="M,…", help="steps it looks ahead (1,4,12,50)"
    )
    agent.add_argument(
        "--approval",
        metavar="WHOSE",
        help="good: knows the true reward; observed: knows only what is observed; blend:W: W times "
        "observed and 1-W times good; none (good)",
    )
    agent.add_argument(
        "--noise", type=float, metavar="SIGMA", help="error of the approval, one a state (0)"
    )
    agent.add_argument("--seeds", type=int, metavar="N", help="noisy overseers to average over (1)")
    agent.add_argument(
        "--iterate",
        type=int,
        metavar="ROUNDS",
        help="after each round, approve of what that round's policy earns in observed reward",
    )
    agent.add_argument("--json", action="store_true", default=None, help="one object a row")
    whole = parser.add_argument_group("the whole study")
    whole.add_argument(
        "--out", type=Path, metavar="FOLDER", help="for figures and tables (figures)"
    )
    whole.add_argument(
        "--only", metavar="PART,…", help="worlds, horizon, noise, blend, iterated, learning"
    )
    return parser


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
