"""Intervals for shares, against published tables and against what they promise."""

import math
import random

import pytest

from monastery.auditor.intervals import exact, wilson
from monastery.runtime.errors import BadInput


@pytest.mark.parametrize(
    ("count", "of", "score", "tail"),
    [
        # R. G. Newcombe, Statistics in Medicine 17 (1998), table I: score and exact method.
        (81, 263, (0.2553, 0.3662), (0.2527, 0.3676)),
        (15, 148, (0.0624, 0.1605), (0.0578, 0.1617)),
        (0, 20, (0.0, 0.1611), (0.0, 0.1684)),
        (1, 29, (0.0061, 0.1718), (0.0009, 0.1776)),
    ],
)
def test_published_intervals(
    count: int, of: int, score: tuple[float, float], tail: tuple[float, float]
) -> None:
    """Four examples with both methods, to the four places of the table."""
    for interval, ends in ((wilson(count, of), score), (exact(count, of), tail)):
        assert interval.value == count / of
        assert (round(interval.low, 4), round(interval.high, 4)) == ends


def test_nothing_bad_in_a_hundred_does_not_mean_never() -> None:
    """The upper end is 1 - (level left over / 2) to the power of 1/n: 3.6 % after 100."""
    assert exact(0, 100).high == pytest.approx(1 - 0.025**0.01, rel=1e-12)
    assert exact(100, 100).low == pytest.approx(0.025**0.01, rel=1e-12)
    assert exact(0, 100, level=0.99).high == pytest.approx(1 - 0.005**0.01, rel=1e-12)


def test_of_none_nothing_is_known() -> None:
    """No share is not a share of 0, and its interval holds everything."""
    for method in (exact, wilson):
        told = method(0, 0)
        assert (told.value, told.low, told.high) == (None, 0.0, 1.0)


def test_the_sorts_can_be_exchanged() -> None:
    """What is known of the good is known of the bad."""
    draw = random.Random(1)
    for _ in range(100):
        of = draw.randint(1, 500)
        count = draw.randint(0, of)
        for method in (exact, wilson):
            one, other = method(count, of), method(of - count, of)
            assert one.low == pytest.approx(1 - other.high, abs=1e-12)
            assert one.low <= count / of <= one.high
            if 0 < count < of:
                assert one.low < count / of < one.high


@pytest.mark.parametrize("of", [5, 30])
def test_the_exact_interval_holds_the_truth_at_least_as_often_as_it_says(of: int) -> None:
    """Counted out, not drawn: the chance of all results whose interval misses is 5 % at most."""
    intervals = [exact(count, of) for count in range(of + 1)]
    for share in (step / 100 for step in range(1, 100)):
        missed = math.fsum(
            math.comb(of, count) * share**count * (1 - share) ** (of - count)
            for count, one in enumerate(intervals)
            if not one.low <= share <= one.high
        )
        assert missed <= 0.05 + 1e-12


@pytest.mark.parametrize("level", [0.01, 0.2, 0.95, 0.999])
def test_the_ends_of_the_exact_interval_are_what_they_are_said_to_be(level: float) -> None:
    """Added up: at the lower end so many or more are as likely as the level leaves, half each."""
    for count, of in ((1, 7), (3, 7), (6, 7), (12, 40)):
        told = exact(count, of, level)
        for share, results in ((told.low, range(count, of + 1)), (told.high, range(count + 1))):
            chance = math.fsum(
                math.comb(of, one) * share**one * (1 - share) ** (of - one) for one in results
            )
            assert chance == pytest.approx((1 - level) / 2, rel=1e-9)


def test_rare_things_in_large_numbers_are_not_lost_in_rounding() -> None:
    """Three of a million: as of Poisson's law, 0.619 to 8.77 (F. Garwood 1936)."""
    told = exact(3, 1_000_000)
    assert told.low * 1e6 == pytest.approx(0.6187, abs=1e-4)
    assert told.high * 1e6 == pytest.approx(8.7673, abs=1e-4)


@pytest.mark.parametrize(("count", "of", "level"), [(2, 1, 0.95), (-1, 1, 0.95), (0, 1, 1.0)])
def test_what_is_no_share_is_refused(count: int, of: int, level: float) -> None:
    """In one line that says what to write."""
    for method in (exact, wilson):
        with pytest.raises(BadInput, match="write"):
            method(count, of, level)
