"""Intervals for a share: how far `count` of `of` can be from the truth."""

import math
from dataclasses import dataclass
from statistics import NormalDist

from monastery.runtime.errors import BadInput

LEVEL = 0.95
"""How often an interval holds the true share, unless told otherwise."""


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
