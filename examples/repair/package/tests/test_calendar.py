"""Months, quarters, weeks."""

from datetime import date

import pytest

from tallybook import calendar


@pytest.mark.parametrize("year, leap", [(2024, True), (2023, False), (1900, False), (2000, True)])
def test_leap_years(year, leap):
    assert calendar.is_leap(year) is leap


@pytest.mark.parametrize("month, length", [(1, 31), (2, 29), (4, 30), (7, 31), (9, 30), (12, 31)])
def test_days_in_month(month, length):
    assert calendar.days_in_month(2024, month) == length


def test_february_of_a_common_year():
    assert calendar.days_in_month(2023, 2) == 28


def test_add_months():
    assert calendar.add_months(date(2024, 1, 15), 1) == date(2024, 2, 15)
    assert calendar.add_months(date(2024, 11, 15), 3) == date(2025, 2, 15)
    assert calendar.add_months(date(2024, 1, 15), -1) == date(2023, 12, 15)


def test_add_months_keeps_to_the_month():
    assert calendar.add_months(date(2024, 1, 31), 1) == date(2024, 2, 29)
    assert calendar.add_months(date(2024, 3, 31), 1) == date(2024, 4, 30)


def test_month_bounds():
    assert calendar.month_start(date(2024, 2, 17)) == date(2024, 2, 1)
    assert calendar.month_end(date(2024, 2, 17)) == date(2024, 2, 29)


def test_quarters():
    months = range(1, 13)
    found = [calendar.quarter(date(2024, month, 1)) for month in months]
    assert found == [1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]


def test_quarter_start():
    assert calendar.quarter_start(date(2024, 6, 30)) == date(2024, 4, 1)
    assert calendar.quarter_start(date(2024, 12, 5)) == date(2024, 10, 1)


def test_week_start():
    assert calendar.week_start(date(2024, 5, 15)) == date(2024, 5, 13)
    assert calendar.week_start(date(2024, 5, 13)) == date(2024, 5, 13)


def test_first_weekday():
    assert calendar.nth_weekday(2024, 5, 2, 1) == date(2024, 5, 1)
    assert calendar.nth_weekday(2024, 5, 1, 1) == date(2024, 5, 7)


def test_third_weekday():
    assert calendar.nth_weekday(2024, 5, 4, 3) == date(2024, 5, 17)


def test_last_weekday():
    assert calendar.nth_weekday(2024, 5, 4, -1) == date(2024, 5, 31)
    assert calendar.nth_weekday(2024, 5, 0, -1) == date(2024, 5, 27)
    assert calendar.nth_weekday(2024, 5, 0, -2) == date(2024, 5, 20)


def test_fifth_weekday_may_be_missing():
    assert calendar.nth_weekday(2024, 5, 4, 5) == date(2024, 5, 31)
    assert calendar.nth_weekday(2024, 5, 0, 5) is None


def test_business_days():
    assert calendar.business_days(date(2024, 5, 13), date(2024, 5, 20)) == 5
    assert calendar.business_days(date(2024, 5, 18), date(2024, 5, 20)) == 0


def test_business_days_without_holidays():
    holiday = frozenset({date(2024, 5, 1)})
    assert calendar.business_days(date(2024, 4, 29), date(2024, 5, 4), holiday) == 4


def test_days():
    assert list(calendar.days(date(2024, 2, 28), date(2024, 3, 1))) == [
        date(2024, 2, 28),
        date(2024, 2, 29),
    ]
