"""How far auditors agree beyond chance: Krippendorff's alpha, and Gwet's AC1 beside it.

Both are 1 for perfect agreement. Alpha misleads when bad items are rare: it falls towards 0 though
nearly all votes agree, for in such items there is hardly anything to agree on. AC1 stays near the
raw agreement there, and misleads the other way: of votes by lot, where alpha is about 0, it makes
more the rarer one label is. So both are given, always, with how many items and votes they rest on.

An item is a list of the values that its auditors gave, in any order; an auditor who did not vote is
not in it. Sizes are small (thousands of items), so this is plain Python, and needs no numpy.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from monastery.runtime.errors import BadInput

Level = Literal["nominal", "ordinal", "interval"]
Values = Sequence[Hashable]
"""What the auditors of one item said."""

PARTS = 50


@dataclass(frozen=True, slots=True)
class Coefficient:
    """An agreement, and what it rests on.

    Attributes:
        value: At most 1; None where it cannot be told, which is not 0.
        error: Its standard error, by leaving out a part of the items at a time; None where that
            cannot be told.
        items: How many items had two votes or more.
        votes: How many votes these had.
    """

    value: float | None
    error: float | None
    items: int
    votes: int


def alpha(items: Sequence[Values], level: Level = "nominal") -> Coefficient:
    """Return Krippendorff's alpha; items with fewer than two votes count for nothing.

    Undefined, so None, where nothing can be compared or all votes are the same. Source:
    K. Krippendorff, "Computing Krippendorff's alpha-reliability" (2011).

    Args:
        items: What was said of each.
        level: How far two values are apart. ``nominal``: they differ or not; ``interval``: the
            square of their difference; ``ordinal``: that of their ranks.

    Raises:
        BadInput: A value is no finite number, where the level needs one.
    """
    if level != "nominal":
        _check_numbers(items)
    return _coefficient(items, lambda some: _alpha(some, level))


def ac1(items: Sequence[Values], labels: Collection[Hashable]) -> Coefficient:
    """Return Gwet's AC1; items with one vote count in how often each label is given.

    Undefined, so None, where nothing can be compared. Source: K. L. Gwet, "Computing inter-rater
    reliability and its variance in the presence of high agreement", British Journal of Mathematical
    and Statistical Psychology 61 (2008); with missing votes as in his handbook (2014).

    Args:
        items: What was said of each.
        labels: All that could have been said; the coefficient depends on how many they are.

    Raises:
        BadInput: Fewer than two labels, or a vote with another one.
    """
    known = set(labels)
    if len(known) < 2:
        raise BadInput(f"AC1 of {len(known)} labels: there must be two or more to choose from")
    for number, values in enumerate(items):
        for value in values:
            if value not in known:
                raise BadInput(f"item {number}: {value!r} is none of the {len(known)} labels")
    return _coefficient(items, lambda some: _ac1(some, len(known)))


def raw(items: Sequence[Values]) -> float | None:
    """Return the share of pairs of votes on an item that are the same, each item counting once."""
    shares = [_same(values) for values in items if len(values) > 1]
    return fmean(shares) if shares else None


def _alpha(items: Sequence[Values], level: Level) -> float | None:
    items = [values for values in items if len(values) > 1]
    votes = [value for values in items for value in values]
    counts = Counter(votes)
    if len(counts) < 2:
        return None
    place = _places(counts, level)
    if place is None:
        observed = math.fsum((1 - _same(values)) * len(values) for values in items)
        pairs = sum(count * (count - 1) for count in counts.values())
        expected = len(votes) - pairs / (len(votes) - 1)
    else:
        observed = math.fsum(
            math.fsum((place[one] - place[other]) ** 2 for one in values for other in values)
            / (len(values) - 1)
            for values in items
        )
        middle = math.fsum(place[value] for value in votes) / len(votes)
        squares = math.fsum((place[value] - middle) ** 2 for value in votes)
        # Over all ordered pairs: twice their number times the sum of squares about the mean.
        expected = 2 * len(votes) * squares / (len(votes) - 1)
    return 1 - observed / expected if expected > 0 else None


def _places(counts: Counter[Hashable], level: Level) -> dict[Hashable, float] | None:
    """Return where each value lies, so that the distance of two is their difference, squared.

    Krippendorff's ordinal distance counts the votes from the one value to the other, half of those
    at the ends: that is the difference of their mean ranks.
    """
    if level == "nominal":
        return None
    numbers = sorted(value for value in counts if isinstance(value, int | float))
    if level == "interval":
        return {number: float(number) for number in numbers}
    places: dict[Hashable, float] = {}
    below = 0
    for number in numbers:
        places[number] = below + counts[number] / 2
        below += counts[number]
    return places


def _ac1(items: Sequence[Values], labels: int) -> float | None:
    judged = [values for values in items if values]
    observed = raw(judged)
    if observed is None:
        return None
    given: defaultdict[Hashable, float] = defaultdict(float)
    for values in judged:
        for value in values:
            given[value] += 1 / len(values)
    shares = [count / len(judged) for count in given.values()]
    chance = math.fsum(share * (1 - share) for share in shares) / (labels - 1)
    return (observed - chance) / (1 - chance)


def _same(values: Values) -> float:
    """Return the share of the ordered pairs of a few values that are the same."""
    same = sum(map(values.count, values))  # for a few, quicker than to count each value once
    return (same - len(values)) / (len(values) * (len(values) - 1))


def _coefficient(
    items: Sequence[Values], statistic: Callable[[Sequence[Values]], float | None]
) -> Coefficient:
    compared = [values for values in items if len(values) > 1]
    value = statistic(items)
    return Coefficient(
        value=value,
        error=None if value is None else _error(items, statistic),
        items=len(compared),
        votes=sum(map(len, compared)),
    )


def _error(
    items: Sequence[Values], statistic: Callable[[Sequence[Values]], float | None]
) -> float | None:
    """Return the jackknife's standard error, leaving out every item or one of `PARTS` parts.

    Source: B. Efron and R. J. Tibshirani, "An Introduction to the Bootstrap" (1993), chapter 11.
    """
    items = [values for values in items if values]
    parts = min(PARTS, len(items))
    without = [
        statistic([values for number, values in enumerate(items) if number % parts != part])
        for part in range(parts)
    ]
    told = [value for value in without if value is not None]
    if len(told) < max(parts, 3):  # of two items, or where one alone makes the difference
        return None
    middle = fmean(told)
    return math.sqrt((parts - 1) / parts * math.fsum((one - middle) ** 2 for one in told))


def _check_numbers(items: Sequence[Values]) -> None:
    for number, values in enumerate(items):
        for value in values:
            if not isinstance(value, int | float) or not math.isfinite(value):
                raise BadInput(f"item {number}: {value!r} is no finite number")
