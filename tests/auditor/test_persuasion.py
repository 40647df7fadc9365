"""Persuasion: what two votes come to, and the interval of a mean, against published tables."""

import math
import random
from statistics import fmean

import pytest

from monastery.auditor.intervals import mean, student
from monastery.auditor.persuasion import Pair, persuasion
from monastery.runtime.errors import BadInput


@pytest.mark.parametrize(
    ("level", "freedom", "quantile"),
    [
        # Student's distribution as every table has it; two-sided.
        (0.95, 1, 12.7062),
        (0.95, 2, 4.3027),
        (0.95, 3, 3.1824),
        (0.95, 10, 2.2281),
        (0.95, 29, 2.0452),
        (0.99, 7, 3.4995),
        (0.90, 120, 1.6577),
    ],
)
def test_published_quantiles(level: float, freedom: int, quantile: float) -> None:
    """To the four places of the tables."""
    assert round(student(level, freedom), 4) == pytest.approx(quantile, abs=1e-9)


def test_many_degrees_go_over_into_the_normal_distribution() -> None:
    """Without a jump that anyone would see."""
    assert student(0.95, 1001) == pytest.approx(student(0.95, 1000), rel=2e-3)


def test_an_interval_holds_the_mean_as_often_as_it_says() -> None:
    """Of three normal numbers, in 2,000 tries, within what chance allows (four standard errors)."""
    chance = random.Random(7)
    held = 0
    for _ in range(2000):
        told = mean([chance.gauss(0.3, 2.0) for _ in range(3)])
        assert told.low is not None
        assert told.high is not None
        held += told.low <= 0.3 <= told.high
    assert abs(held / 2000 - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 2000)


def test_what_cannot_be_told_is_none() -> None:
    """Of nothing there is no mean; of one number, or of equal ones, no interval."""
    assert mean([]).value is None
    assert (mean([0.5]).value, mean([0.5]).low) == (0.5, None)
    assert (mean([0.5, 0.5]).value, mean([0.5, 0.5]).high) == (0.5, None)
    with pytest.raises(BadInput):
        mean([1.0], 1.0)


def test_each_auditor_and_all_together() -> None:
    """Second less first; a change of decision counts by what it does to the step."""
    given = [
        Pair("r.1", "ann", ("reject", 0.2), ("approve", 0.9)),
        Pair("r.2", "ann", ("approve", 0.8), ("reject", 0.1)),
        Pair("r.3", "ann", ("approve", 0.5), ("modify", 0.5)),
        Pair("r.4", "bob", ("reject", 0.1), ("terminate", 0.0)),
        Pair("r.5", "bob", ("escalate", 0.4), ("approve", 0.6)),
        Pair("r.6", "bob", ("approve", 1.0), ("approve", 1.0)),
    ]
    ann, bob, everyone = persuasion(given)
    assert (ann.auditor, bob.auditor, everyone.auditor) == ("ann", "bob", None)
    assert ann.differences == pytest.approx((0.7, -0.7, 0.0))
    assert ann.moved.value == pytest.approx(0.0)
    assert (ann.let_through, ann.stopped, ann.otherwise) == (1, 1, 1)
    assert (bob.let_through, bob.stopped, bob.otherwise) == (1, 0, 1)
    assert everyone.moved.of == 6
    assert everyone.moved.value == pytest.approx(fmean([0.7, -0.7, 0.0, -0.1, 0.2, 0.0]))
    assert persuasion([]) == ()
    assert [one.auditor for one in persuasion(given[:1])] == ["ann"]
