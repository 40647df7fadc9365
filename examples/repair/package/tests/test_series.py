"""Values over time."""

from datetime import date
from decimal import Decimal

import pytest

from tallybook.series import Series, mean, median


def decimals(*numbers):
    return tuple(Decimal(number) for number in numbers)


def january(values):
    days = tuple(date(2024, 1, day) for day in values)
    return Series(days, decimals(*values.values()))


SERIES = january({1: 10, 3: 20, 7: 40})


def test_lengths_must_match():
    with pytest.raises(ValueError):
        Series((date(2024, 1, 1),), ())


def test_days_must_rise():
    with pytest.raises(ValueError):
        Series((date(2024, 1, 2), date(2024, 1, 2)), decimals(1, 2))
    with pytest.raises(ValueError):
        Series((date(2024, 1, 2), date(2024, 1, 1)), decimals(1, 2))


def test_latest_value():
    assert SERIES.at(date(2024, 1, 3)) == 20
    assert SERIES.at(date(2024, 1, 6)) == 20
    assert SERIES.at(date(2024, 2, 6)) == 40
    assert SERIES.at(date(2023, 12, 31)) is None


def test_value_between_two():
    assert SERIES.between(date(2024, 1, 2)) == 15
    assert SERIES.between(date(2024, 1, 4)) == 25
    assert SERIES.between(date(2024, 1, 6)) == 35


def test_value_on_a_day():
    assert SERIES.between(date(2024, 1, 1)) == 10
    assert SERIES.between(date(2024, 1, 7)) == 40


def test_no_value_outside():
    assert SERIES.between(date(2024, 1, 8)) is None
    assert SERIES.between(date(2023, 12, 31)) is None


def test_moving_mean():
    series = january({1: 3, 2: 6, 3: 9, 4: 0})
    assert series.moving_mean(3).values == decimals("3", "4.5", "6", "5")


def test_moving_mean_of_one():
    assert SERIES.moving_mean(1) == SERIES
    with pytest.raises(ValueError):
        SERIES.moving_mean(0)


def test_changes():
    changes = SERIES.changes()
    assert changes.days == SERIES.days[1:]
    assert changes.values == decimals(10, 20)


def test_running_total():
    assert SERIES.running_total().values == decimals(10, 30, 70)


def test_by_period():
    series = Series((date(2024, 1, 30), date(2024, 1, 31), date(2024, 2, 1)), decimals(1, 2, 5))
    assert series.by_period("month", sum) == {date(2024, 1, 30): 3, date(2024, 2, 1): 5}


def test_by_period_leaves_out_empty_ones():
    series = Series((date(2024, 1, 15), date(2024, 3, 31)), decimals(1, 3))
    assert list(series.by_period("month", max)) == [date(2024, 1, 15), date(2024, 3, 1)]
    assert Series((), ()).by_period("month", max) == {}


def test_drawdown():
    assert january({1: 100, 2: 80, 3: 120, 4: 90}).drawdown() == Decimal("0.25")
    assert january({1: 1, 2: 2, 3: 3}).drawdown() == 0
    assert Series((), ()).drawdown() == 0


def test_mean():
    assert mean(decimals(1, 2, 6)) == 3
    assert mean(()) == 0


def test_median():
    assert median(decimals(9, 1, 5)) == 5
    assert median(decimals(9, 1, 5, 3)) == 4
    assert median(()) == 0
