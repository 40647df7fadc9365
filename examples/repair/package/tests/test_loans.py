"""Loans."""

from datetime import date
from decimal import Decimal

import pytest

from tallybook.loans import cents, monthly_payment, schedule, total_interest

FIRST = date(2024, 1, 31)


def test_cents():
    assert cents(Decimal("1.005")) == Decimal("1.01")


def test_payment():
    assert monthly_payment(Decimal(1000), Decimal("0.12"), 12) == Decimal("88.85")


def test_payment_without_interest():
    assert monthly_payment(Decimal(1200), Decimal(0), 12) == 100


def test_a_loan_runs_for_a_month_at_least():
    assert monthly_payment(Decimal(100), Decimal("0.12"), 1) == 101
    with pytest.raises(ValueError):
        monthly_payment(Decimal(100), Decimal("0.12"), 0)


def test_first_instalment():
    first = schedule(Decimal(1000), Decimal("0.12"), 12, FIRST)[0]
    assert first.interest == 10
    assert first.principal == Decimal("78.85")
    assert first.owed == Decimal("921.15")
    assert first.payment == Decimal("88.85")


def test_days():
    days = [one.day for one in schedule(Decimal(300), Decimal(0), 3, FIRST)]
    assert days == [date(2024, 1, 31), date(2024, 2, 29), date(2024, 3, 31)]


def test_the_loan_is_paid_back():
    instalments = schedule(Decimal(1000), Decimal("0.12"), 12, FIRST)
    assert len(instalments) == 12
    assert instalments[-1].owed == 0
    assert sum(one.principal for one in instalments) == 1000


def test_extra_payments_end_it_sooner():
    instalments = schedule(Decimal(1200), Decimal(0), 12, FIRST, extra=Decimal(100))
    assert len(instalments) == 6
    assert instalments[-1].owed == 0


def test_total_interest():
    instalments = schedule(Decimal(1000), Decimal("0.12"), 12, FIRST)
    assert total_interest(instalments) == Decimal("66.19")
