"""The whole study: what is computed for each figure and table."""

import json
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from time import monotonic

import numpy as np

from loan import figures, tables
from loan.arms import ARMS, FULL, HONEST, Overseer, Settings
from loan.outcome import GRANT, summaries
from loan.question import Row, row
from loan.summary import text
from loan.training import softmax, train
from loan.world import FIELDS, GOOD, NATIONALITIES, WELSH, Impossible, World
from monastery.runtime.cli.bar import ticking

WORLD = World()
FEWER = replace(FULL, learners=5)
ENTROPIES = (0.0, 0.003, 0.01, 0.03, 0.1)
BIASES = (0.0, 0.1, 0.2, 0.4, 0.6)
OVERSEERS = {
    "as it should be": HONEST,
    "audits 10 % of steps": Overseer(audit=0.1),
    "errs (noise 0.5)": Overseer(noise=0.5),
    "does not mind the nationality": Overseer(strict=False),
    "saw the outcome (weight 0.1)": Overseer(leak=0.1),
    "saw the outcome (weight 1)": Overseer(leak=1.0),
}
SHOWN = ((1, 1, 0), (0, 0, 1))
"""Whose summaries are shown: two good fields, and one."""


@dataclass(frozen=True)
class Job:
    """One training.

    Attributes:
        arm: The name of the arm.
        world: The applications.
        overseer: Who audits.
        settings: How it is learned.
        judge: The name of the overseer, where the part has several.
    """

    arm: str
    world: World = WORLD
    overseer: Overseer = HONEST
    settings: Settings = FULL
    judge: str = ""

    def curve(self) -> list[Row]:
        """Train, and return a row for each point of the curve."""
        curve = train(self.world, ARMS[self.arm], self.overseer, self.settings)
        names = {"judge": self.judge} if self.judge else {}
        rows = []
        for episodes, found in zip(curve.episodes, curve.outcomes, strict=True):
            one = row(self.arm, self.world, self.overseer, self.settings, found)
            rows.append(names | one | {"episodes": episodes})
        return rows

    def end(self) -> list[Row]:
        """Train, and return the last row."""
        return self.curve()[-1:]

    def words(self) -> list[Row]:
        """Train, and return what learner 0 is likeliest to write of a few twins."""
        pair = train(self.world, ARMS[self.arm], self.overseer, self.settings).pair
        wrote = summaries(softmax(pair.writer[0]))  # [A, S]
        grant = wrote @ softmax(pair.decider[0])[:, GRANT]
        rows: list[Row] = []
        for fields in SHOWN:
            for one in np.flatnonzero(np.equal(GOOD, fields).all(axis=1)):
                fared = ("good" if good else "bad" for good in fields)
                told = [f"{name} {how}" for name, how in zip(FIELDS, fared, strict=True)]
                best = int(wrote[one].argmax())
                rows.append(
                    {
                        "arm": self.arm,
                        "application": ", ".join(told),
                        "nationality": NATIONALITIES[WELSH[one]],
                        "summary": text(best),
                        "chance": round(float(wrote[one, best]), 6),
                        "granted": round(float(grant[one]), 6),
                    }
                )
        return rows


@dataclass(frozen=True)
class Part:
    """One figure and its table.

    Attributes:
        jobs: What is trained.
        take: What is kept of each.
    """

    jobs: Sequence[Job]
    take: Callable[[Job], list[Row]]


PARTS = {
    "words": Part([Job(arm, settings=replace(FULL, learners=1)) for arm in ARMS], Job.words),
    "learning": Part([Job(arm) for arm in ARMS], Job.curve),
    "overseers": Part(
        [
            *(
                Job("mona", overseer=one, settings=FEWER, judge=name)
                for name, one in OVERSEERS.items()
            ),
            *(
                Job("ordinary", overseer=OVERSEERS[name], settings=FEWER, judge=name)
                for name in ("as it should be", "does not mind the nationality")
            ),
        ],
        Job.end,
    ),
    "accident": Part(
        [Job(arm, settings=replace(FEWER, entropy=e)) for e in ENTROPIES for arm in ARMS], Job.end
    ),
    "bias": Part(
        [Job(arm, world=World(bias), settings=FEWER) for bias in BIASES for arm in ARMS], Job.end
    ),
}


def study(folder: Path, only: str | None = None) -> None:
    """Compute each part, draw it, write its table and its rows.

    Args:
        folder: Where NAME.svg, NAME.md and NAME.jsonl go.
        only: Names with commas between; all parts without.

    Raises:
        Impossible: A name is no part's, or the folder cannot be written.
    """
    names = list(PARTS) if only is None else only.split(",")
    for name in names:
        if name not in PARTS:
            raise Impossible(f"no part {name!r}: give some of {', '.join(PARTS)}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Impossible(f"folder {str(folder)!r}: {error.strerror}") from error
    for name in names:
        began = monotonic()
        rows = _rows(name, PARTS[name])
        table = tables.TABLES[name](rows)
        (folder / f"{name}.md").write_text(table)
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
        if name in figures.DRAWN:
            figures.draw(name, rows, folder / f"{name}.svg")
        print(table)
        print(f"{folder / name}.md: {monotonic() - began:.0f} s", file=sys.stderr)


def _rows(name: str, part: Part) -> list[Row]:
    """Train on all cores, one training on each."""
    spawn = get_context("spawn")
    with (
        ticking(name, len(part.jobs)) as tick,
        ProcessPoolExecutor(os.cpu_count(), mp_context=spawn) as pool,
    ):
        futures = [pool.submit(part.take, job) for job in part.jobs]
        for future in as_completed(futures):
            future.result()
            tick()
    return [one for future in futures for one in future.result()]
