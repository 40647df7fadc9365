"""Budgets: what an account may take in a month, and what it took."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from .accounts import is_under, sign_of
from .book import Book
from .calendar import add_months, days_in_month, month_start
from .spans import Span


@dataclass(frozen=True)
class Plan:
    """A monthly allowance for an account and those below it.

    Attributes:
        carry: whether what is left over, or overspent, goes to the next month.
        cap: the most that may be carried over, or None.
    """

    account: str
    monthly: Decimal
    commodity: str = "EUR"
    carry: bool = False
    cap: Decimal | None = None


@dataclass(frozen=True)
class Month:
    """How one month went."""

    first: date
    allowed: Decimal
    spent: Decimal

    @property
    def left(self) -> Decimal:
        """What is left; negative when overspent."""
        return self.allowed - self.spent

    @property
    def is_over(self) -> bool:
        """Whether more was spent than allowed."""
        return self.spent > self.allowed

    @property
    def share(self) -> Decimal:
        """The share of the allowance that was spent; zero when nothing was allowed."""
        if self.allowed == 0:
            return Decimal(0)
        return self.spent / self.allowed


def spent(book: Book, plan: Plan, span: Span) -> Decimal:
    """Return what a plan's account grew by in a span."""
    result = Decimal(0)
    for entry in book.within(span).entries:
        for posting in entry.postings:
            amount = posting.amount
            if amount is None or amount.commodity != plan.commodity:
                continue
            if is_under(plan.account, posting.account):
                result += sign_of(posting.account) * amount.quantity
    return result


def months(book: Book, plan: Plan, first: date, count: int) -> list[Month]:
    """Return how each of some months in a row went."""
    carried = Decimal(0)
    result: list[Month] = []
    start = month_start(first)
    for _ in range(count):
        stop = add_months(start, 1)
        month = Month(start, plan.monthly + carried, spent(book, plan, Span(start, stop)))
        result.append(month)
        if plan.carry:
            carried = month.left if plan.cap is None else max(month.left, plan.cap)
        start = stop
    return result


def pace(month: Month, today: date) -> Decimal:
    """Return what the month will have taken at its end if it goes on as until today.

    Today counts as gone. Before the month's first day nothing is known: the result is zero.
    """
    length = days_in_month(month.first.year, month.first.month)
    gone = (today - month.first).days + 1
    if gone <= 0:
        return Decimal(0)
    return month.spent * length / min(gone, length)
