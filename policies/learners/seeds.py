"""What several seeds came to together: the mean, and where it lies.

Runs of one arm differ by their seeds, and there are few of them, for each is a training. An
interval here is about the mean over all seeds that might have been drawn.

For numbers that is Student's t. For shares it is too, but of their logits, log(s / (1 - s)):
an interval of the shares themselves reaches beyond 0 and 1, and cut there it holds the mean too
seldom when shares lie near an end. The bootstrap is no way out, since of three seeds it knows no
value but those three. `tests/policies/learners/test_seeds.py` plays seeds of which the mean is
known, and counts how often each kind of interval holds it.

A share near an end differs little between seeds, or not at all, because a run has so few episodes
that went the other way. So the interval is at least as long as the episodes alone would make it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, stdev

LEVEL = 0.95
"""How often an interval holds the mean, unless told otherwise."""


@dataclass(frozen=True, slots=True)
class Mean:
    """The mean of several seeds.

    Attributes:
        value: The mean of what they came to.
        low: Where the interval begins; of one seed there is none, and it is None.
        high: Where it ends; None of one seed.
    """

    value: float
    low: float | None
    high: float | None

    @property
    def half(self) -> float | None:
        """Half of the interval's length; None of one seed."""
        if self.low is None or self.high is None:
            return None
        return (self.high - self.low) / 2


def mean(numbers: Sequence[float], level: float = LEVEL) -> Mean:
    """Return the mean of one number a seed, with the interval of Student's t.

    Raises:
        ValueError: There is no number, or not 0 < level < 1.
    """
    middle, count = fmean(_some(numbers)), len(numbers)
    if count == 1:
        return Mean(middle, None, None)
    half = student(count - 1, level) * stdev(numbers) / math.sqrt(count)
    return Mean(middle, middle - half, middle + half)


def mean_share(shares: Sequence[float], of: int, level: float = LEVEL) -> Mean:
    """Return the mean of one share a seed, with an interval within 0 and 1: the t of logits.

    A logit has half an episode added to either side, so that 0 and 1 have one, and a variance from
    the episodes of 1/(k + 1/2) + 1/(n - k + 1/2) for k of n. Source: J. J. Gart and J. R. Zweifel,
    "On the bias of various estimators of the logit and its variance", Biometrika 54 (1967).

    Args:
        shares: Each from 0 to 1.
        of: How many episodes each is a share of; what is worth a part of one counts as that part.
        level: How often the interval holds the mean.

    Raises:
        ValueError: There is no share, one is below 0 or above 1, `of` is not 1 or more, or not
            0 < level < 1.
    """
    middle, count = fmean(_some(shares)), len(shares)
    if of < 1 or min(shares) < 0 or max(shares) > 1:
        raise ValueError(f"{list(shares)} of {of} episodes are no shares; each is from 0 to 1")
    if count == 1:
        return Mean(middle, None, None)
    sides = [(share * of + 0.5, (1 - share) * of + 0.5) for share in shares]
    logits = [math.log(one / other) for one, other in sides]
    by_chance = fmean(1 / one + 1 / other for one, other in sides)
    # How far seeds spread is guessed from few of them; what chance makes of episodes is known.
    half = max(
        student(count - 1, level) * stdev(logits) / math.sqrt(count),
        NormalDist().inv_cdf((1 + level) / 2) * math.sqrt(by_chance / count),
    )
    low, high = (_share(fmean(logits) + way * half) for way in (-1, 1))
    # The mean of the logits is not the logit of the mean, which is what is shown.
    return Mean(middle, min(low, middle), max(high, middle))


def student(free: int, level: float = LEVEL) -> float:
    """Return how many standard errors an interval of Student's t reaches to either side.

    Args:
        free: Degrees of freedom, one less than there are numbers.
        level: The probability between; 0.95 asks for the 97.5 % point.

    Raises:
        ValueError: Not 1 <= free, or not 0 < level < 1.
    """
    if free < 1 or not 0 < level < 1:
        raise ValueError(f"{free} degrees of freedom, level {level}: 1 or more; between 0 and 1")
    low, high = 0.0, math.pi / 2
    while True:
        middle = (low + high) / 2
        if not low < middle < high:
            return math.tan(middle) * math.sqrt(free)
        if _within(middle, free) < level:
            low = middle
        else:
            high = middle


def _within(angle: float, free: int) -> float:
    """Return the probability within plus and minus t = sqrt(free) tan(angle).

    Source: M. Abramowitz and I. A. Stegun, Handbook of Mathematical Functions, 26.7.3 and 26.7.4.
    """
    odd = free % 2
    if free == 1:
        return 2 * angle / math.pi
    square = math.cos(angle) ** 2
    term = total = math.cos(angle) if odd else 1.0
    for number in range(2 + odd, free, 2):
        term *= (number - 1) / number * square
        total += term
    total *= math.sin(angle)
    return 2 / math.pi * (angle + total) if odd else total


def _share(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))


def _some(numbers: Sequence[float]) -> Sequence[float]:
    if not numbers:
        raise ValueError("no seed: a mean is of one or more")
    return numbers
