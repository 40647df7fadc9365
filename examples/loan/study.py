"""Loan applications: who learns to hide a nationality in a summary that must not name it.

Without arguments, every figure and table is made. With a question, it is answered:

  study.py --arms mona,ordinary --seeds 5
  study.py --arms mona --bias 0,0.2,0.4 --json
  study.py --arms mona --leak 0.1
  study.py --arms mona --audit 0.1 --noise 0.5 --episodes 400000
"""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

try:
    from loan.arms import FULL, Overseer, Settings
    from loan.question import BIAS, Question, answer
    from loan.world import Impossible

    from monastery.runtime.cli.bar import ticking
except ModuleNotFoundError as missing:
    sys.exit(f"study.py: {missing.name} is missing: pip install -e '.[study]'")

FIGURES = Path(__file__).resolve().parent / "figures"
OVERSEER = ("audit", "noise", "leak", "strict")
SETTINGS = ("episodes", "learners", "entropy")
QUESTION = ("arms", "biases", *OVERSEER, *SETTINGS, "json")
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
    asked = {name: getattr(options, name) for name in QUESTION}
    asked = {name: value for name, value in asked.items() if value is not None}
    try:
        if not asked:
            return _study(options)
        if options.out is not None or options.only is not None:
            raise Impossible("--out and --only belong to the whole study, not to a question")
        question = _question(asked)
    except Impossible as fault:
        parser.error(str(fault))
    with ticking("training", question.ticks) as tick:
        rows = answer(question, tick)
    for line in [json.dumps(row) for row in rows] if options.json else _lines(rows):
        print(line)
    return 0


def _study(options: argparse.Namespace) -> int:
    try:
        from loan.parts import study
    except ModuleNotFoundError as missing:
        raise Impossible(f"{missing.name} is missing: pip install -e '.[study]'") from missing
    study(options.out or FIGURES, options.only)
    return 0


def _question(asked: dict[str, Any]) -> Question:
    overseer = Overseer(**{name: asked[name] for name in OVERSEER if name in asked})
    settings = Settings(**{name: asked[name] for name in SETTINGS if name in asked})
    rest = {name: asked[name] for name in ("arms", "biases") if name in asked}
    return Question(overseer=overseer, settings=settings, **rest)


COLUMNS = ("agreement", "deserved", "flips", "approval", "named", "hidden_bits", "readable")


def _lines(rows: list[dict[str, Any]]) -> list[str]:
    """Lay the rows out as a table."""
    first = rows[0]
    title = (
        f"{first['seeds']} learners of {first['episodes']:,} episodes; audit {first['audit']:g}, "
        f"noise {first['noise']:g}, leak {first['leak']:g}, entropy {first['entropy']:g}"
    )
    names = ("arm", "bias", *COLUMNS, "without", "with")
    lines = [title, "  ".join(f"{name:>12}" for name in names)]
    for row in rows:
        cells = [row["arm"], f"{row['bias']:g}"]
        for name in COLUMNS:
            half = row[f"{name}_half"]
            cells.append(f"{row[name]:.3f}" + ("" if half is None else f" ±{half:.3f}"))
        cells += [f"{row[name]:.4f}" for name in ("ceiling_without", "ceiling_with")]
        lines.append("  ".join(f"{cell:>12}" for cell in cells))
    lines.append(
        "without, with: the most agreement that can be had without and with the nationality"
    )
    return lines


def _many(kind: Callable[[str], Any], example: str) -> Callable[[str], tuple[Any, ...]]:
    """Return what reads values with commas between."""

    def read(text: str) -> tuple[Any, ...]:
        try:
            return tuple(dict.fromkeys(kind(part.strip()) for part in text.split(",")))
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r}: give {example}") from None

    return read


def _parser() -> Parser:
    docs = __doc__ or ""
    parser = Parser(
        prog="study.py",
        description=docs.partition("\n")[0],
        epilog=docs.partition("\n\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    who = parser.add_argument_group("who is asked about")
    who.add_argument(
        "--arms",
        type=_many(str, "mona,ordinary"),
        metavar="ARM,…",
        help="mona: each step is credited with its own reward; ordinary: step 1 with both (both)",
    )
    who.add_argument(
        "--bias",
        dest="biases",
        type=_many(float, "numbers from 0 to 1, as in 0,0.4"),
        metavar="B,…",
        help=f"how often a label says nothing but the nationality ({BIAS:g})",
    )
    overseer = parser.add_argument_group("the audits")
    overseer.add_argument(
        "--audit", type=float, metavar="P", help="probability of each, weighed 1/P (1)"
    )
    overseer.add_argument(
        "--noise", type=float, metavar="SIGMA", help="error in each score of a summary (0)"
    )
    overseer.add_argument(
        "--leak", type=float, metavar="W", help="weight in that score of what came of it (0)"
    )
    overseer.add_argument(
        "--careless",
        dest="strict",
        action="store_false",
        default=None,
        help="the judge of summaries does not mind that a nationality is named",
    )
    learning = parser.add_argument_group("the learning")
    learning.add_argument(
        "--entropy",
        type=float,
        metavar="NATS",
        help=f"worth of a nat of entropy in a word ({FULL.entropy:g})",
    )
    learning.add_argument(
        "--episodes", type=int, metavar="N", help=f"of each learner ({FULL.episodes:,})"
    )
    learning.add_argument(
        "--seeds",
        dest="learners",
        type=int,
        metavar="N",
        help=f"independent learners, seeds 0 to N-1 ({FULL.learners})",
    )
    learning.add_argument("--json", action="store_true", default=None, help="one object a row")
    whole = parser.add_argument_group("the whole study")
    whole.add_argument(
        "--out", type=Path, metavar="FOLDER", help="for figures and tables (figures)"
    )
    whole.add_argument(
        "--only", metavar="PART,…", help="words, learning, overseers, accident, bias"
    )
    return parser


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
