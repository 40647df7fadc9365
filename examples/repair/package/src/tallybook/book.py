"""A book: entries in order of time, with the questions that one asks of it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import date
from typing import Callable, Iterable, Iterator

from . import accounts
from .entries import Entry
from .money import Amount, total
from .prices import Prices
from .spans import Span


@dataclass(frozen=True)
class Line:
    """A line of a register: what was posted, and what the account held afterwards."""

    day: date
    payee: str
    account: str
    amount: Amount
    balance: Amount


class Book:
    """Entries, kept in order of their days; entries of one day keep the order they came in."""

    def __init__(self, entries: Iterable[Entry] = (), prices: Prices | None = None) -> None:
        self.entries = sorted(entries, key=lambda entry: entry.day)
        self.prices = prices if prices is not None else Prices()

    def __len__(self) -> int:
        return len(self.entries)

    def add(self, entry: Entry) -> None:
        """Put an entry in its place."""
        position = len(self.entries)
        while position > 0 and self.entries[position - 1].day > entry.day:
            position -= 1
        self.entries.insert(position, entry.completed())

    def span(self) -> Span | None:
        """Return the span from the first entry's day to the day after the last, or None."""
        if not self.entries:
            return None
        last = self.entries[-1].day
        return Span(self.entries[0].day, date.fromordinal(last.toordinal() + 1))

    def where(self, keep: Callable[[Entry], bool]) -> "Book":
        """Return a book of the entries for which the function returns true."""
        return Book([entry for entry in self.entries if keep(entry)], self.prices)

    def within(self, span: Span) -> "Book":
        """Return a book of the entries on the days of a span."""
        return self.where(lambda entry: entry.day in span)

    def account_names(self) -> list[str]:
        """Return every account that is posted to, in order of the alphabet."""
        return sorted({name for entry in self.entries for name in entry.accounts})

    def _amounts(self, account: str, until: date | None) -> Iterator[Amount]:
        for entry in self.entries:
            if until is not None and entry.day > until:
                break
            for posting in entry.postings:
                if accounts.is_under(posting.account, account) and posting.amount is not None:
                    yield posting.amount

    def balance(self, account: str, until: date | None = None) -> dict[str, Amount]:
        """Return what an account and those below it hold at the end of a day, by commodity."""
        return total(self._amounts(account, until))

    def worth(self, account: str, commodity: str, day: date) -> Amount:
        """Return the balance of an account at the end of a day, all in one commodity."""
        sums = self.balance(account, until=day).values()
        worth = Amount.of(0, commodity)
        for amount in sums:
            worth = worth + self.prices.convert(amount, commodity, day)
        return worth

    def register(self, account: str) -> list[Line]:
        """Return the postings to an account and those below it with running balances."""
        running: dict[str, Amount] = {}
        lines: list[Line] = []
        for entry in self.entries:
            for posting in entry.postings:
                amount = posting.amount
                if amount is None or not accounts.is_under(posting.account, account):
                    continue
                before = running.get(amount.commodity, Amount.of(0, amount.commodity))
                after = before + amount
                running[amount.commodity] = after
                lines.append(Line(entry.day, entry.payee, posting.account, amount, after))
        return lines

    def tree(self, commodity: str, depth: int | None = None) -> dict[str, Amount]:
        """Return the balance of every account in one commodity, with what lies below it."""
        sums: dict[str, Amount] = defaultdict(lambda: Amount.of(0, commodity))
        for entry in self.entries:
            for posting in entry.postings:
                if posting.amount is None or posting.amount.commodity != commodity:
                    continue
                for name in (posting.account, *accounts.ancestors(posting.account)):
                    if depth is None or accounts.depth_of(name) <= depth:
                        sums[name] = sums[name] + posting.amount
        return {name: sums[name] for name in sorted(sums)}

    def unused(self, since: date) -> list[str]:
        """Return the accounts to which nothing was posted on or after a day."""
        recent = {name for entry in self.entries if entry.day >= since for name in entry.accounts}
        return [name for name in self.account_names() if name not in recent]
