"""The whole study: what is computed for each figure and table."""

import json
import os
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from time import monotonic
from typing import Any

from camera import figures, qlearning, tables
from camera.approval import GOOD, Approval
from camera.outcome import Outcome
from camera.planning import Tick
from camera.question import STEPS, Question, answer
from camera.training import ARMS, FAR_SIGHTED, Arm, Curve
from camera.world import Impossible, Size, World
from monastery.policies.learners.seeds import mean
from monastery.runtime.cli.bar import ticking

Row = dict[str, Any]
SIGMAS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0)
WEIGHTS = (0.0, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.1, 0.12, 0.14, 0.16, 0.2, 1.0)
LEARNERS = ("PPO", "Q-learning")
LONG = qlearning.Settings(steps=10_000_000, learners=5)
"""For the arm whose optimum is the hack and that does not find it."""


@dataclass(frozen=True)
class Part:
    """One figure and its table.

    Attributes:
        compute: Returns the rows; what they are drawn and tabled from.
        ticks: How often that ticks.
    """

    compute: Callable[[World, Tick], list[Row]]
    ticks: int


def _worlds(world: World, tick: Tick) -> list[Row]:
    tick()
    return []


def _horizon(world: World, tick: Tick) -> list[Row]:
    rows = []
    for name in ("none", "good"):
        question = Question(horizons=range(STEPS + 1), approval=Approval.parse(name))
        rows += answer(question, world, tick)
    return rows


def _noise(world: World, tick: Tick) -> list[Row]:
    rows = []
    for sigma in SIGMAS:
        question = Question(horizons=(1, 8, STEPS), noise=sigma, seeds=20)
        rows += answer(question, world)
        tick()
    rows += answer(Question(horizons=(1, 8, STEPS), noise=0.5, seeds=10), world)
    tick()
    rows += answer(Question(horizons=(1,), noise=0.5, seeds=1000), world, tick)
    return rows


def _blend(world: World, tick: Tick) -> list[Row]:
    rows = []
    for weight in WEIGHTS:
        approval = Approval.parse(f"blend:{weight:g}")
        rows += answer(Question(horizons=(1, 4, 8, 12), approval=approval), world)
        tick()
    return rows


def _iterated(world: World, tick: Tick) -> list[Row]:
    return answer(Question(horizons=(1,), approval=GOOD, rounds=12), world, tick)


def _learning(world: World, tick: Tick) -> list[Row]:
    jobs = [(learner, arm) for learner in LEARNERS for arm in ARMS]
    # Each learner keeps one core busy. Spawned, since torch does not survive a fork.
    spawn = get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), mp_context=spawn) as pool:
        futures = [pool.submit(_train, *job) for job in jobs]
        for future in as_completed(futures):
            future.result()
            tick()
    return [row for future in futures for row in future.result()]


def _train(learner: str, arm: Arm) -> list[Row]:
    world = World(Size())
    if learner == "PPO":
        from camera import ppo  # torch takes seconds to load, and nothing else needs it

        return _rows(learner, arm, ppo.train(world, arm, ppo.Settings(), STEPS))
    settings = LONG if arm == FAR_SIGHTED else qlearning.Settings()
    return _rows(learner, arm, qlearning.train(world, arm, settings, STEPS))


def _rows(learner: str, arm: Arm, curve: Curve) -> list[Row]:
    """Summarise a curve: at each point the mean over learners, and where that mean may lie."""
    last = {"steps": curve.steps[-1], "policy": "greedy", **_summary(curve.greedy)}
    points = [
        {"steps": steps, "policy": "as trained", **_summary(found)}
        for steps, found in zip(curve.steps, curve.outcomes, strict=True)
    ]
    names = {"learner": learner, "arm": arm.name, "learners": len(curve.greedy)}
    return [names | point for point in (*points, last)]


def _summary(found: list[Outcome]) -> Row:
    row: Row = {}
    for name in ("failure", "desired", "hack", "observed_return", "true_return"):
        column = [getattr(one, name) for one in found]
        of_all = mean(column)
        row[name] = round(of_all.value, 6) + 0.0
        row[f"{name}_half"] = None if of_all.half is None else round(of_all.half, 6)
    return row


PARTS = {
    "worlds": Part(_worlds, 1),
    "horizon": Part(_horizon, 2 * STEPS),
    "noise": Part(_noise, len(SIGMAS) + 1 + 1000),
    "blend": Part(_blend, len(WEIGHTS)),
    "iterated": Part(_iterated, 12),
    "learning": Part(_learning, len(LEARNERS) * len(ARMS)),
}


def study(folder: Path, only: str | None = None) -> None:
    """Compute each part, draw it, write its table and its rows.

    Args:
        folder: Where NAME.svg, NAME.md and NAME.jsonl go.
        only: Names with commas between; all parts without.

    Raises:
        Impossible: A name is no part's, or the folder cannot be written. Without torch, the part
            that trains networks is left out of the whole, and refused when asked for by name.
    """
    names = list(PARTS) if only is None else only.split(",")
    for name in names:
        if name not in PARTS:
            raise Impossible(f"no part {name!r}: give some of {', '.join(PARTS)}")
    if "learning" in names and find_spec("torch") is None:
        missing = "torch is missing: pip install -e '.[train]'"
        if only is not None:
            raise Impossible(f"no part 'learning', since {missing}")
        names.remove("learning")
        print(f"study.py: the part 'learning' is left out, since {missing}", file=sys.stderr)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Impossible(f"folder {str(folder)!r}: {error.strerror}") from error
    world = World(Size())
    for name in names:
        began = monotonic()
        with ticking(name, PARTS[name].ticks) as tick:
            rows = PARTS[name].compute(world, tick)
        figures.draw(name, world, rows, folder / f"{name}.svg")
        if rows:
            table = tables.TABLES[name](rows)
            (folder / f"{name}.md").write_text(table)
            lines = "".join(json.dumps(row) + "\n" for row in rows)
            (folder / f"{name}.jsonl").write_text(lines)
            print(table)
        print(f"{folder / name}.svg: {monotonic() - began:.0f} s", file=sys.stderr)
