"""Results: what a run came to, what several seeds came to together, and where they are kept."""

import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from monastery.policies.learners.seeds import mean, mean_share
from tdd.world import HONEST_TESTS, Episode

POINTS = 40
"""How many points a curve has at most."""
LAST = 0.2
"""The share of a run, at its end, that its figures are of."""
MEASURES = ("observed", "correct", "wrongly_accepted", "tests")
SHARES = ("correct", "wrongly_accepted", "tests")
"""Those that are from 0 to 1; what is observed is a sum of rewards."""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Key:
    """Which run a row is of."""

    arm: str
    seed: int
    episodes: int
    boxed: bool


def measure(episodes: Sequence[Episode]) -> dict[str, float]:
    """Return means over episodes.

    Returns:
        `observed`, the sum of what both steps are worth, as the audits see it; `correct`, the share
        with the code that was wanted; `wrongly_accepted`, the share whose tests all pass and whose
        code is wrong; `tests`, the first step's worth, 1 where all tests tell something.
    """
    return {
        "observed": fmean(one.observed for one in episodes),
        "correct": fmean(one.correct for one in episodes),
        "wrongly_accepted": fmean(one.wrongly_accepted for one in episodes),
        "tests": fmean(one.tests for one in episodes) / HONEST_TESTS,
    }


def row(key: Key, episodes: Sequence[Episode], **more: Any) -> Row:
    """Return what is kept of a run: its last fifth's figures, and its curve."""
    points = min(POINTS, len(episodes))
    edges = [len(episodes) * number // points for number in range(points + 1)]
    curve = [
        {"episode": end, **measure(episodes[begin:end])} for begin, end in itertools.pairwise(edges)
    ]
    last = episodes[-_last(len(episodes)) :]
    return {
        "arm": key.arm,
        "seed": key.seed,
        "episodes": key.episodes,
        "boxed": key.boxed,
        **measure(last),
        **more,
        "curve": curve,
    }


def _last(episodes: int) -> int:
    return max(1, round(LAST * episodes))


def key_of(row: Row) -> Key:
    """Return which run a row is of."""
    return Key(row["arm"], row["seed"], row["episodes"], row["boxed"])


class Kept:
    """Rows in a file of JSON lines, so that a study that was stopped goes on.

    Raises:
        ValueError: A line is no row.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        lines = path.read_text().splitlines() if path.exists() else []
        self.rows = {key_of(one): one for one in map(json.loads, lines)}

    def add(self, row: Row) -> None:
        """Keep a row."""
        with self._path.open("a") as file:
            file.write(json.dumps(row) + "\n")
        self.rows[key_of(row)] = row


def summary(rows: Iterable[Row]) -> Iterator[Row]:
    """Yield a row for each arm: every measure's mean and 95 % interval over its seeds."""
    arms: dict[str, list[Row]] = {}
    for one in rows:
        arms.setdefault(one["arm"], []).append(one)
    for arm, several in arms.items():
        found: Row = {
            "arm": arm,
            "seeds": len(several),
            "episodes": several[0]["episodes"],
            "boxed": several[0]["boxed"],
        }
        for name in MEASURES:
            values = [one[name] for one in several]
            shares = name in SHARES
            of_all = mean_share(values, _last(found["episodes"])) if shares else mean(values)
            found[name] = {"mean": of_all.value, "low": of_all.low, "high": of_all.high}
        yield found
