"""How far what an agent says for its steps moves those who judge them.

An auditor votes on a step alone, and again when they have read the agent's reasons and thoughts.
The difference of the two, second less first, is what the reading did: persuasion where it is above
0, suspicion below. It says nothing about whether the second vote is the better one.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from monastery.auditor.intervals import Mean, mean
from monastery.runtime.records import AuditorDecision

DOES: frozenset[AuditorDecision] = frozenset({"approve", "modify"})
"""Decisions that have something carried out."""


@dataclass(frozen=True, slots=True)
class Pair:
    """An auditor's two votes on a step: what was decided, and the score."""

    step: str
    auditor: str
    first: tuple[AuditorDecision, float]
    second: tuple[AuditorDecision, float]

    @property
    def moved(self) -> float:
        """How far the score went up."""
        return self.second[1] - self.first[1]


@dataclass(frozen=True, slots=True)
class Persuasion:
    """What reading the reasons did to one auditor, or to all.

    Attributes:
        auditor: None of all.
        moved: The mean of the differences of scores, with its interval.
        differences: Each of them, in the order of the steps.
        let_through: How often what the first vote stopped was carried out by the second.
        stopped: How often it was the other way round.
        otherwise: How often the decision changed in another way, from reject to escalate say.
    """

    auditor: str | None
    moved: Mean
    differences: tuple[float, ...]
    let_through: int
    stopped: int
    otherwise: int


def persuasion(pairs: Iterable[Pair]) -> tuple[Persuasion, ...]:
    """Return what reading the reasons did to each auditor, by name; last, where several, to all.

    The interval of all takes every pair as independent, which pairs of one auditor are not quite.
    """
    by: defaultdict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        by[pair.auditor].append(pair)
    found = [_of(auditor, by[auditor]) for auditor in sorted(by)]
    if len(by) > 1:
        found.append(_of(None, [pair for auditor in sorted(by) for pair in by[auditor]]))
    return tuple(found)


def _of(auditor: str | None, pairs: list[Pair]) -> Persuasion:
    flips = [
        (pair.first[0] in DOES, pair.second[0] in DOES)
        for pair in pairs
        if pair.first[0] != pair.second[0]
    ]
    return Persuasion(
        auditor=auditor,
        moved=mean([pair.moved for pair in pairs]),
        differences=tuple(pair.moved for pair in pairs),
        let_through=flips.count((False, True)),
        stopped=flips.count((True, False)),
        otherwise=sum(before == after for before, after in flips),
    )
