"""Months, quarters and weeks: the few calendar sums that plans and reports need."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Iterator

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def is_leap(year: int) -> bool:
    """Return whether a year of the Gregorian calendar has 366 days."""
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def days_in_month(year: int, month: int) -> int:
    """Return the number of days of a month."""
    if month == 2:
        return 29 if is_leap(year) else 28
    return 30 if month in (4, 6, 9, 11) else 31


def add_months(day: date, months: int) -> date:
    """Move by whole months; a day that the month lacks becomes its last day."""
    index = day.year * 12 + day.month - 1 + months
    year, month = index // 12, index % 12 + 1
    return date(year, month, min(day.day, days_in_month(year, month)))


def month_start(day: date) -> date:
    """Return the first day of the month."""
    return day.replace(day=1)


def month_end(day: date) -> date:
    """Return the last day of the month."""
    return day.replace(day=days_in_month(day.year, day.month))


def quarter(day: date) -> int:
    """Return the quarter of the year, 1 to 4."""
    return (day.month - 1) // 3 + 1


def quarter_start(day: date) -> date:
    """Return the first day of the quarter."""
    return date(day.year, 3 * (quarter(day) - 1) + 1, 1)


def week_start(day: date) -> date:
    """Return the Monday of the week."""
    return day - timedelta(days=day.weekday())


def nth_weekday(year: int, month: int, weekday: int, nth: int) -> date | None:
    """Return the nth given weekday of a month, or None when the month has no such day.

    Args:
        weekday: 0 is Monday, 6 is Sunday.
        nth: 1 is the first; -1 is the last, -2 the one before.
    """
    length = days_in_month(year, month)
    if nth > 0:
        first = date(year, month, 1)
        number = 1 + (weekday - first.weekday()) % 7 + 7 * (nth - 1)
    else:
        last = date(year, month, length)
        number = length - (last.weekday() - weekday) % 7 + 7 * (nth + 1)
    return date(year, month, number) if 1 <= number <= length else None


def business_days(start: date, stop: date, holidays: frozenset[date] = frozenset()) -> int:
    """Count the days from start (included) to stop (excluded) that are worked."""
    return sum(1 for day in days(start, stop) if day.weekday() < 5 and day not in holidays)


def days(start: date, stop: date) -> Iterator[date]:
    """Yield every day from start (included) to stop (excluded)."""
    day = start
    while day < stop:
        yield day
        day += timedelta(days=1)
