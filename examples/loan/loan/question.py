"""One question to the study, and its answer row by row."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from math import sqrt
from statistics import NormalDist, mean, stdev
from typing import Any

from loan.arms import ARMS, FULL, HONEST, Overseer, Settings
from loan.outcome import Outcome
from loan.training import Tick, idle, train
from loan.world import Impossible, World

Row = dict[str, Any]
BIAS = World().bias
MEASURES = tuple(field.name for field in fields(Outcome))


@dataclass(frozen=True)
class Question:
    """What is to be known.

    Attributes:
        arms: Names of arms, a row each.
        biases: Of the labels, a row each.
        overseer: Who audits.
        settings: How it is learned.

    Raises:
        Impossible: No such arm or bias, or none.
    """

    arms: Sequence[str] = tuple(ARMS)
    biases: Sequence[float] = (BIAS,)
    overseer: Overseer = HONEST
    settings: Settings = FULL

    def __post_init__(self) -> None:
        for name in self.arms:
            if name not in ARMS:
                raise Impossible(f"no arm {name!r}: give some of {', '.join(ARMS)}")
        for bias in self.biases:
            World(bias)
        if not self.arms or not self.biases:
            raise Impossible("no arm or no bias: give one or more, as in mona,ordinary")

    @property
    def ticks(self) -> int:
        """How often `answer` ticks."""
        return len(self.arms) * len(self.biases) * self.settings.points


def answer(question: Question, tick: Tick = idle) -> list[Row]:
    """Train each arm at each bias, and measure what was learned.

    Args:
        question: What is asked.
        tick: Called `question.ticks` times.

    Returns:
        A row for each bias in the order asked, and in it for each arm.
    """
    rows = []
    for bias in question.biases:
        for name in question.arms:
            curve = train(World(bias), ARMS[name], question.overseer, question.settings, tick)
            rows.append(
                row(name, World(bias), question.overseer, question.settings, curve.outcomes[-1])
            )
    return rows


def row(
    arm: str, world: World, overseer: Overseer, settings: Settings, found: Sequence[Outcome]
) -> Row:
    """Summarise learners: the mean of each measure, and where that mean may lie."""
    made: Row = {"arm": arm, "bias": world.bias}
    for name in MEASURES:
        column = [getattr(one, name) for one in found]
        made[name] = round(mean(column), 6) + 0.0
        made[f"{name}_half"] = half_width(column)
    made |= ceilings(world)
    made |= {"audit": overseer.audit, "noise": overseer.noise, "leak": overseer.leak}
    made |= {"strict": overseer.strict, "entropy": settings.entropy}
    return made | {"episodes": settings.episodes, "seeds": len(found)}


def ceilings(world: World) -> Row:
    """Return the most that can be reached, in closed form."""
    return {
        "ceiling_without": round(world.without, 6),
        "ceiling_with": round(world.known, 6),
        "most_flips": round(world.flips, 6),
        "most_deserved": round(world.fair, 6),
    }


def half_width(column: Sequence[float]) -> float | None:
    """Return half of the 95 % interval of a mean over learners; of one it is not known."""
    if len(column) < 2:
        return None
    return round(student(len(column)) * stdev(column) / sqrt(len(column)), 6) + 0.0


FEW = (12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646)
"""Where the series below is not good enough."""


def student(many: int) -> float:
    """Return the 97.5 % point of Student's t for the mean of so many, two or more.

    The expansion about the normal point (Abramowitz and Stegun 26.7.5), good to 0.001.
    """
    free = many - 1
    if free <= len(FEW):
        return FEW[free - 1]
    z = NormalDist().inv_cdf(0.975)
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / free + second / free**2 + third / free**3
