"""One score for each of several alternatives, from who was preferred to whom.

The model of R. A. Bradley and M. E. Terry, "Rank analysis of incomplete block designs", Biometrika
39 (1952): each alternative has a strength, and one is preferred to another with the chance that is
its part of their two strengths. For the alternatives of one moment; strengths of different moments
cannot be compared, for each is relative to those it stood beside.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from monastery.runtime.errors import BadInput

TOLERANCE = 1e-12
ROUNDS = 100_000

Preference = tuple[str, str, float]
"""The one that was preferred, the one that was not, and how often (or half, for a tie each way)."""


@dataclass(frozen=True, slots=True)
class Strengths:
    """What the preferences come to.

    Attributes:
        logs: Each alternative's strength, its natural logarithm; without a prior their sum is 0.
        scores: Each alternative's chance against one of strength 1, between 0 and 1.
        rounds: How many rounds it took.
        converged: Whether the last round changed no logarithm by more than `TOLERANCE`.
    """

    logs: dict[str, float]
    scores: dict[str, float]
    rounds: int
    converged: bool


def preferences(ranking: Sequence[Sequence[str]]) -> Iterator[Preference]:
    """Yield the preferences in a ranking: each to all that stand behind it, ties half each way.

    Args:
        ranking: From best to worst; what stands in one place is tied. Not all need be in it.

    Raises:
        BadInput: An alternative is named twice.
    """
    named = [one for place in ranking for one in place]
    for one in named:
        if named.count(one) > 1:
            raise BadInput(f"{one!r} stands twice in a ranking")
    for number, place in enumerate(ranking):
        for better in place:
            for behind in ranking[number + 1 :]:
                yield from ((better, worse, 1.0) for worse in behind)
            yield from ((better, other, 0.5) for other in place if other != better)


def bradley_terry(
    alternatives: Sequence[str], given: Iterable[Preference], *, prior: float = 0.5
) -> Strengths:
    """Return the strengths that make the preferences most likely.

    By the iteration of M. E. J. Newman, "Efficient computation of rankings from pairwise
    comparisons", Journal of Machine Learning Research 24 (2023), which takes fewer rounds than the
    usual one (R. L. Dykstra 1956, D. R. Hunter 2004) to the same end.

    Args:
        alternatives: Two or more.
        given: From all auditors together.
        prior: How often each alternative is imagined to be preferred to one of strength 1, and that
            one to it. Above 0, so that one which was always preferred has a finite strength, and
            one which nobody compared has strength 1. 0 leaves it out.

    Raises:
        BadInput: Fewer than two alternatives or one twice, a preference that is none, a prior below
            0, or no prior where the preferences leave strengths without end.
    """
    if len(alternatives) < 2 or len(set(alternatives)) < len(alternatives):
        raise BadInput(f"alternatives {list(alternatives)!r}: there must be two or more, each once")
    if not 0 <= prior < math.inf:
        raise BadInput(f"a prior of {prior!r} imagined preferences: write 0 or more")
    wins = _table(alternatives, given)
    if prior == 0:
        _check_finite(alternatives, wins)
    strengths = [1.0] * len(alternatives)
    for number in range(1, ROUNDS + 1):  # noqa: B007 - the number of rounds is told
        moved = 0.0
        for one in range(len(alternatives)):
            new = _strength(one, strengths, wins, prior)
            moved = max(moved, abs(math.log(new / strengths[one])))
            strengths[one] = new
        middle = math.exp(_middle([math.log(strength) for strength in strengths], prior))
        strengths = [strength / middle for strength in strengths]
        if moved <= TOLERANCE:
            break
    return Strengths(
        logs={one: math.log(s) for one, s in zip(alternatives, strengths, strict=True)},
        scores={one: s / (1 + s) for one, s in zip(alternatives, strengths, strict=True)},
        rounds=number,
        converged=moved <= TOLERANCE,
    )


def _strength(
    one: int, strengths: Sequence[float], wins: Sequence[Sequence[float]], prior: float
) -> float:
    """Return the next value of one strength, given the others."""
    own = strengths[one]
    up = down = prior / (own + 1)
    for other, strength in enumerate(strengths):
        if other != one:
            up += wins[one][other] * strength / (own + strength)
            down += wins[other][one] / (own + strength)
    return up / down


def _middle(logs: Sequence[float], prior: float) -> float:
    """Return what to take from all logarithms of strengths at once.

    Preferences tell their differences alone. What is left is set by the prior: against the one of
    strength 1 they must be preferred as often as it is, which round by round takes long to find.
    """
    if prior == 0:
        return math.fsum(logs) / len(logs)
    low, high = min(logs), max(logs)
    while low < (middle := (low + high) / 2) < high:
        if math.fsum(math.tanh((log - middle) / 2) for log in logs) > 0:
            low = middle
        else:
            high = middle
    return middle


def _table(alternatives: Sequence[str], given: Iterable[Preference]) -> list[list[float]]:
    """Return how often each was preferred to each: [preferred][other]."""
    places = {one: place for place, one in enumerate(alternatives)}
    wins = [[0.0] * len(places) for _ in places]
    for better, worse, weight in given:
        for one in (better, worse):
            if one not in places:
                raise BadInput(f"{one!r} was compared, and is none of the alternatives")
        if better == worse:
            raise BadInput(f"{better!r} was compared with itself")
        if not 0 <= weight < math.inf:
            raise BadInput(f"{better!r} was preferred {weight!r} times: write a number from 0 on")
        wins[places[better]][places[worse]] += weight
    return wins


def _check_finite(alternatives: Sequence[str], wins: Sequence[Sequence[float]]) -> None:
    """See that from each alternative preferences lead to each other (L. R. Ford 1957)."""
    for name, table in (("beat", wins), ("lost to", list(zip(*wins, strict=True)))):
        reached, open_ends = {0}, [0]
        while open_ends:
            one = open_ends.pop()
            found = {other for other, weight in enumerate(table[one]) if weight > 0} - reached
            reached |= found
            open_ends += found
        apart = [one for place, one in enumerate(alternatives) if place not in reached]
        if apart:
            raise BadInput(
                f"{alternatives[0]!r} never {name} {apart[0]!r}, nor one that did: without a prior"
                " their strengths have no end; give one above 0"
            )
