"""Budgets."""

from datetime import date
from decimal import Decimal

import pytest

from tallybook import parse_book
from tallybook.budget import Month, Plan, months, pace, spent
from tallybook.spans import Span

BOOK = parse_book(
    """\
2024-01-05 Grocer
    Expenses:Food        80 EUR
    Assets:Bank
2024-02-05 Grocer
    Expenses:Food       130 EUR
    Assets:Bank
2024-02-29 Baker
    Expenses:Food:Bread  10 EUR
    Assets:Cash
2024-03-01 Employer
    Assets:Bank         500 EUR
    Income:Salary
2024-03-02 Diner
    Expenses:Food        20 USD
    Assets:Cash
"""
)
JANUARY = date(2024, 1, 1)


def left(plan, count=3):
    return [month.left for month in months(BOOK, plan, date(2024, 1, 20), count)]


def test_spent():
    plan = Plan("Expenses:Food", Decimal(100))
    assert spent(BOOK, plan, Span(date(2024, 2, 1), date(2024, 3, 1))) == 140


def test_spent_in_another_commodity():
    plan = Plan("Expenses:Food", Decimal(100), "USD")
    assert spent(BOOK, plan, Span(date(2024, 1, 1), date(2024, 4, 1))) == 20


def test_income_grows_by_credits():
    plan = Plan("Income", Decimal(400))
    assert spent(BOOK, plan, Span(date(2024, 3, 1), date(2024, 4, 1))) == 500


def test_months_begin_on_the_first():
    found = months(BOOK, Plan("Expenses:Food", Decimal(100)), date(2024, 1, 20), 2)
    assert [month.first for month in found] == [date(2024, 1, 1), date(2024, 2, 1)]


def test_without_carrying():
    assert left(Plan("Expenses:Food", Decimal(100))) == [20, -40, 100]


def test_carrying():
    assert left(Plan("Expenses:Food", Decimal(100), carry=True)) == [20, -20, 80]


def test_carrying_with_a_cap():
    plan = Plan("Expenses:Food", Decimal(100), carry=True, cap=Decimal(5))
    assert left(plan) == [20, -35, 65]


def test_carrying_below_the_cap():
    plan = Plan("Expenses:Food", Decimal(100), carry=True, cap=Decimal(50))
    assert left(plan) == [20, -20, 80]


def test_over():
    assert Month(JANUARY, Decimal(10), Decimal(11)).is_over
    assert not Month(JANUARY, Decimal(10), Decimal(10)).is_over


def test_share():
    assert Month(JANUARY, Decimal(10), Decimal(4)).share == Decimal("0.4")
    assert Month(JANUARY, Decimal(0), Decimal(4)).share == 0


@pytest.mark.parametrize(
    "today, expected",
    [
        (date(2024, 1, 1), 310),
        (date(2024, 1, 10), 31),
        (date(2024, 1, 31), 10),
        (date(2024, 2, 20), 10),
        (date(2023, 12, 31), 0),
    ],
)
def test_pace(today, expected):
    assert pace(Month(JANUARY, Decimal(100), Decimal(10)), today) == expected
