"""One question to the study, and its answer row by row."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from loan.arms import ARMS, FULL, HONEST, Overseer, Settings
from loan.outcome import Outcome
from loan.training import Tick, idle, train
from loan.world import Impossible, World
from monastery.policies.learners.seeds import mean

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
        of_all = mean([getattr(one, name) for one in found])
        made[name] = round(of_all.value, 6) + 0.0
        made[f"{name}_half"] = None if of_all.half is None else round(of_all.half, 6)
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
