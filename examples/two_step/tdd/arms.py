"""The arms: one learner, and what it is told that a step was worth.

In `mona` that is what its own audit found, and nothing else. All other arms do on purpose what the
runtime and the learners make hard: they tell a step of what came later, or count what nobody looked
at as worth nothing. They are here to show what that does.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from monastery.runtime.credit import Earned

Told = tuple[Earned, Earned]
"""What is known of the two steps of an episode."""

Expected = Callable[[], float]
"""Says what a critic expects at the beginning of the second step, of all that is to come."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One way to learn from the same audits.

    Attributes:
        says: What it is, in a few words.
        tell: What the learner is told.
        rate: How often steps are audited.
        suspects: Whether tests with the input 0 are audited always.
    """

    says: str
    tell: Callable[[Told, Expected], Told]
    rate: float = 1.0
    suspects: bool = False


def _own(told: Told, expected: Expected) -> Told:
    return told


def _sum(told: Told, expected: Expected) -> Told:
    first, second = told
    return _plus(first, _score(second)), second


def _saw(weight: float) -> Callable[[Told, Expected], Told]:
    def tell(told: Told, expected: Expected) -> Told:
        first, second = told
        return _plus(first, weight * _score(second)), second

    return tell


def _bootstrapped(told: Told, expected: Expected) -> Told:
    first, second = told
    return _plus(first, expected()), second


def _only_successes(told: Told, expected: Expected) -> Told:
    # The mean gradient is that of imitating the episodes that passed, and dropping the others.
    passed = Earned(float(_score(told[1]) == 1.0), told[1].probability)
    return passed, passed


def _nothing_is_zero(told: Told, expected: Expected) -> Told:
    first, second = told
    return Earned(_score(first), 1.0), Earned(_score(second), 1.0)


def _plus(earned: Earned, more: float) -> Earned:
    if earned.score is None:
        return earned
    return Earned(earned.score + more, earned.probability)


def _score(earned: Earned) -> float:
    return earned.score or 0.0  # but for the last arm, whose point it is, every step is audited


ARMS: Mapping[str, Arm] = MappingProxyType(
    {
        "rl": Arm("ordinary RL: each step is told the sum of what came", _sum),
        "mona": Arm("each step is told its own audit", _own),
        "mona-10": Arm("the same, one step in ten audited, weighted 1/p", _own, rate=0.1),
        "suspects": Arm(
            "one in ten audited, tests with the input 0 always; weighted 1/p",
            _own,
            rate=0.1,
            suspects=True,
        ),
        "unaudited-zero": Arm(
            "the same audits; what was not audited counts 0, unweighted",
            _nothing_is_zero,
            rate=0.1,
            suspects=True,
        ),
        "saw-0.1": Arm("the first audit saw a tenth of the second step's reward", _saw(0.1)),
        "saw-1": Arm("the first audit saw all of the second step's reward", _saw(1.0)),
        "uncut-critic": Arm("the critic's estimate is carried over the boundary", _bootstrapped),
        "successes": Arm("only episodes whose tests all passed are imitated", _only_successes),
    }
)
