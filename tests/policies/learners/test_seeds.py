"""Means over few seeds: that their intervals hold the truth as often as they say."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from monastery.policies.learners.seeds import Mean, mean, mean_share, student

EPISODES = 320


def test_student_is_the_printed_table() -> None:
    """To the digits that it is printed with, for odd and for even degrees of freedom."""
    printed = {1: 12.7062, 2: 4.3027, 3: 3.1824, 4: 2.7764, 5: 2.5706, 9: 2.2622, 30: 2.0423}
    assert {free: student(free) for free in printed} == pytest.approx(printed, abs=5.1e-5)
    assert student(4, 0.99) == pytest.approx(4.6041, abs=5.1e-5)
    assert student(1000) == pytest.approx(1.9623, abs=5.1e-5)


def test_a_mean_of_numbers() -> None:
    """Student's t with four degrees of freedom for five; none for one."""
    found = mean([0.1, 0.2, 0.3, 0.4, 0.5])
    assert (found.value, found.low, found.high) == pytest.approx((0.3, 0.10368, 0.49632), abs=1e-5)
    assert found.half == pytest.approx(0.19632, abs=1e-5)
    assert mean([0.4]) == Mean(0.4, None, None)
    assert mean([0.4]).half is None


def test_a_mean_of_shares_worked_by_hand() -> None:
    """Two seeds, 1 and 3 of 4: the logits are ±log(3.5/1.5), one standard error apart."""
    found = mean_share([0.25, 0.75], of=4)
    reach = 12.7062 * math.log(3.5 / 1.5)
    ends = 1 / (1 + math.exp(reach)), 1 / (1 + math.exp(-reach))
    assert (found.low, found.high) == pytest.approx(ends, rel=1e-3)
    assert found.value == 0.5
    assert mean_share([0.25], of=4) == Mean(0.25, None, None)


@pytest.mark.parametrize(
    "shares", [[0.0] * 3, [1.0] * 3, [0.0, 0.0, 1.0], [0.999, 1.0, 1.0, 1.0, 1.0], [0.5, 0.5]]
)
def test_an_interval_of_shares_is_one(shares: list[float]) -> None:
    """It holds the mean, keeps within 0 and 1, and is no point where all seeds were alike."""
    found = mean_share(shares, EPISODES)
    assert found.low is not None
    assert found.high is not None
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.high - found.low > 0.001


def test_where_seeds_are_alike_more_episodes_say_more() -> None:
    """No hack in 320 episodes of each of five seeds leaves room for less than one in a hundred."""
    few, many = (mean_share([0.0] * 5, of).high for of in (320, 3200))
    assert few is not None
    assert many is not None
    assert 0.0023 < few < 0.006  # the exact interval, for seeds that are alike, ends at 0.0023
    assert many == pytest.approx(few / 10, rel=0.05)


def _cut(shares: list[float], of: int) -> Mean:
    found = mean(shares)
    assert found.low is not None
    assert found.high is not None
    return Mean(found.value, max(found.low, 0), min(found.high, 1))


def _held(interval: Callable[[list[float], int], Mean], a: float, b: float, seeds: int) -> float:
    """Return how often an interval holds the mean of a beta distribution of shares."""
    chance, tries, held = np.random.default_rng(0), 1500, 0
    for played in chance.binomial(EPISODES, chance.beta(a, b, (tries, seeds))) / EPISODES:
        found = interval(played.tolist(), EPISODES)
        assert found.low is not None
        assert found.high is not None
        held += found.low <= a / (a + b) <= found.high
    return held / tries


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize(("a", "b"), [(20, 20), (2, 18), (1, 49), (0.3, 0.3)])
def test_an_interval_of_shares_holds_the_mean(a: float, b: float, seeds: int) -> None:
    """Nearly as often as it says, whether seeds are alike, near an end, or in two camps."""
    assert _held(mean_share, a, b, seeds) > 0.92


def test_an_interval_that_is_cut_holds_the_mean_too_seldom() -> None:
    """Why it is not that one: near an end, where a hack is rare, and in two camps."""
    assert _held(_cut, 1, 49, 5) < 0.91
    assert _held(_cut, 0.3, 0.3, 3) < 0.91


def test_what_is_no_mean() -> None:
    """One line each."""
    for wrong in (lambda: mean([]), lambda: mean_share([], 4)):
        with pytest.raises(ValueError, match="no seed"):
            wrong()
    for shares, of in (([1.2, 0.5], 4), ([-0.1], 4), ([0.5], 0)):
        with pytest.raises(ValueError, match="are no shares"):
            mean_share(shares, of)
    with pytest.raises(ValueError, match="0 degrees of freedom"):
        student(0)
    with pytest.raises(ValueError, match="level 1"):
        mean([1.0, 2.0], 1.0)
