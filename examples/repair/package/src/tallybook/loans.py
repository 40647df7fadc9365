"""Loans that are paid back in equal instalments."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal

from .calendar import add_months

CENT = Decimal("0.01")


@dataclass(frozen=True)
class Instalment:
    """One payment, and what is owed after it."""

    day: date
    interest: Decimal
    principal: Decimal
    owed: Decimal

    @property
    def payment(self) -> Decimal:
        """What is paid."""
        return self.interest + self.principal


def cents(value: Decimal) -> Decimal:
    """Round to cents, halves up."""
    return value.quantize(CENT, rounding=ROUND_HALF_UP)


def monthly_payment(principal: Decimal, yearly_rate: Decimal, months: int) -> Decimal:
    """Return the equal payment that pays a loan back (annuity formula), in cents."""
    if months < 1:
        raise ValueError(f"a loan runs for 1 month or more, not {months}")
    rate = yearly_rate / 12
    if rate == 0:
        return cents(principal / months)
    growth = (1 + rate) ** months
    return cents(principal * rate * growth / (growth - 1))


def schedule(
    principal: Decimal, yearly_rate: Decimal, months: int, first: date, extra: Decimal = Decimal(0)
) -> list[Instalment]:
    """Return every instalment; the last one pays exactly what is still owed.

    Args:
        extra: paid in addition every month, so that the loan may end sooner.
    """
    payment = monthly_payment(principal, yearly_rate, months) + extra
    owed = principal
    result: list[Instalment] = []
    while owed > 0:
        day = add_months(first, len(result))
        interest = cents(owed * yearly_rate / 12)
        part = min(payment - interest, owed)
        if len(result) == months - 1:
            part = owed
        owed -= part
        result.append(Instalment(day, interest, part, owed))
    return result


def total_interest(instalments: list[Instalment]) -> Decimal:
    """Return the interest that is paid over the life of a loan."""
    return sum((one.interest for one in instalments), Decimal(0))
