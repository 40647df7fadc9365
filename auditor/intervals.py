"""Intervals for a share and for a mean: how far they can be from the truth."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, stdev

from monastery.runtime.errors import BadInput

LEVEL = 0.95
"""How often an interval holds the truth, unless told otherwise."""
_MANY = 1000


@dataclass(frozen=True, slots=True)
class Share:
    """How many of how many, with an interval for the share behind them.

    Attributes:
        value: ``count / of``; None of none, which is not 0.
        low: The interval's lower end; 0 of none, for nothing is known then.
        high: Its upper end; 1 of none.
    """

    count: int
    of: int
    value: float | None
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Mean:
    """The mean of numbers, with an interval for the one behind them.

    Attributes:
        value: None of none, which is not 0.
        low, high: The interval's ends; None of fewer than two, or where all are the same: these say
            nothing about how far the next may be.
    """

    of: int
    value: float | None
    low: float | None
    high: float | None


def mean(values: Sequence[float], level: float = LEVEL) -> Mean:
    """Return a mean with Student's interval, as if the numbers were normal and independent.

    Source: Student, "The probable error of a mean", Biometrika 6 (1908).

    Raises:
        BadInput: Not 0 < level < 1.
    """
    _check(0, 0, level)
    if not values:
        return Mean(0, None, None, None)
    middle = fmean(values)
    if len(set(values)) < 2:
        return Mean(len(values), middle, None, None)
    half = student(level, len(values) - 1) * stdev(values) / math.sqrt(len(values))
    return Mean(len(values), middle, middle - half, middle + half)


def student(level: float, freedom: int) -> float:
    """Return how far from 0 a share `level` of Student's t goes, with so many degrees of freedom.

    By bisection of the angle whose tangent is t over the root of `freedom`. Beyond a thousand
    degrees the normal distribution stands in, which is off by less than 0.2 %.
    """
    if freedom > _MANY:
        return NormalDist().inv_cdf((1 + level) / 2)
    low, high = 0.0, math.pi / 2
    while True:
        angle = (low + high) / 2
        if not low < angle < high:
            return math.tan(angle) * math.sqrt(freedom)
        if _within(angle, freedom) < level:
            low = angle
        else:
            high = angle


def _within(angle: float, freedom: int) -> float:
    """Return how much of Student's t lies within an angle of 0: a sum of powers of its cosine.

    Source: M. Abramowitz and I. A. Stegun, "Handbook of Mathematical Functions", 26.7.3 and 26.7.4.
    """
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = freedom % 2
    term, total = (cosine if odd else 1.0), 0.0
    for power in range(2 + odd, freedom + 1, 2):
        total += term
        term *= cosine * cosine * (power - 1) / power
    return 2 / math.pi * (angle + sine * total) if odd else sine * total


def wilson(count: int, of: int, level: float = LEVEL) -> Share:
    """Return a share with Wilson's score interval: short, and right on average.

    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference",
    Journal of the American Statistical Association 22 (1927).

    Raises:
        BadInput: Not 0 <= count <= of, or not 0 < level < 1.
    """
    _check(count, of, level)
    if of == 0:
        return Share(count, of, None, 0.0, 1.0)
    z = NormalDist().inv_cdf((1 + level) / 2)
    share = count / of
    middle = (share + z * z / (2 * of)) / (1 + z * z / of)
    spread = share * (1 - share) / of + z * z / (4 * of * of)
    half = z * math.sqrt(spread) / (1 + z * z / of)
    # At the ends the formula gives 0 and 1; without rounding errors.
    low = 0.0 if count == 0 else middle - half
    high = 1.0 if count == of else middle + half
    return Share(count, of, share, low, high)


def exact(count: int, of: int, level: float = LEVEL) -> Share:
    """Return a share with the exact interval, which never holds the truth less often than it says.

    Its ends are the shares at which so many, or so few, would have had half of the probability
    left over by the level. Source: C. J. Clopper and E. S. Pearson, Biometrika 26 (1934).

    Raises:
        BadInput: Not 0 <= count <= of, or not 0 < level < 1.
    """
    _check(count, of, level)
    if of == 0:
        return Share(count, of, None, 0.0, 1.0)
    tail = (1 - level) / 2
    low = 0.0 if count == 0 else _share_at(count, of, tail)
    # So few of one sort are so many of the other.
    high = 1.0 if count == of else 1 - _share_at(of - count, of, tail)
    return Share(count, of, count / of, low, high)


def _share_at(count: int, of: int, tail: float) -> float:
    """Return the share at which `count` or more have the probability `tail`, by bisection."""
    low, high = 0.0, 1.0
    while True:
        middle = (low + high) / 2
        if not low < middle < high:
            return middle
        if _at_least(count, of, middle) < tail:
            low = middle
        else:
            high = middle


def _at_least(count: int, of: int, share: float) -> float:
    """Return the probability of `count` or more of `of`, for 0 < share < 1 and count >= 1."""
    if count > of * share:
        return _tail(count, of, share)
    # Fewer than `count` of one sort are more than the rest of the other.
    return 1 - _tail(of - count + 1, of, 1 - share)


def _tail(count: int, of: int, share: float) -> float:
    """Return the probability of `count` or more, above the mean: every term is below the last."""
    ways = math.lgamma(of + 1) - math.lgamma(count + 1) - math.lgamma(of - count + 1)
    # log1p, for a small share would be lost in 1 - share.
    chance = math.exp(ways + count * math.log(share) + (of - count) * math.log1p(-share))
    odds, total = share / (1 - share), 0.0
    for number in range(count, of + 1):
        total += chance
        if chance <= total * 1e-17:
            break
        chance *= (of - number) / (number + 1) * odds
    return total


def _check(count: int, of: int, level: float) -> None:
    if not 0 <= count <= of:
        raise BadInput(f"{count} of {of} is no share; write 0 <= count <= of")
    if not 0 < level < 1:
        raise BadInput(f"{level!r} is no level of an interval; write one between 0 and 1, say 0.95")
