"""Entries and their postings."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date

from . import accounts
from .errors import BookError, UnbalancedError
from .money import Amount, total


@dataclass(frozen=True)
class Posting:
    """An amount put to an account; the amount may be left out in at most one posting of an entry.

    Attributes:
        cost: what one unit cost, in another commodity; it is then the cost that is balanced.
    """

    account: str
    amount: Amount | None = None
    cost: Amount | None = None

    @property
    def weight(self) -> Amount | None:
        """The amount with which the posting counts in the balance of its entry."""
        if self.amount is None or self.cost is None:
            return self.amount
        return Amount(self.amount.quantity * self.cost.quantity, self.cost.commodity)


@dataclass(frozen=True)
class Entry:
    """Something that happened on a day."""

    day: date
    payee: str
    postings: tuple[Posting, ...]
    cleared: bool = False
    tags: frozenset[str] = frozenset()

    @property
    def accounts(self) -> set[str]:
        """The accounts that the entry touches."""
        return {posting.account for posting in self.postings}

    @property
    def imbalance(self) -> dict[str, Amount]:
        """What the postings add up to, by commodity; empty when they balance."""
        weights = [posting.weight for posting in self.postings]
        return total(weight for weight in weights if weight is not None)

    def completed(self) -> "Entry":
        """Return the entry with the amount that was left out filled in.

        Raises:
            UnbalancedError: when it cannot be made to balance.
            BookError: when an account name is not valid or there are fewer than two postings.
        """
        if len(self.postings) < 2:
            raise BookError(f"{self.payee}: an entry needs two postings")
        for posting in self.postings:
            if not accounts.is_valid(posting.account):
                raise BookError(f"{self.payee}: no such account: {posting.account!r}")
        open_ones = [posting for posting in self.postings if posting.amount is None]
        rest = self.imbalance
        if len(open_ones) > 1:
            raise UnbalancedError(f"{self.payee}: more than one amount is left out")
        if not open_ones:
            if rest:
                off = ", ".join(str(amount) for amount in rest.values())
                raise UnbalancedError(f"{self.payee}: off by {off}")
            return self
        if not rest:
            raise UnbalancedError(f"{self.payee}: nothing is left for {open_ones[0].account}")
        filled: list[Posting] = []
        for posting in self.postings:
            if posting.amount is None:
                filled.extend(Posting(posting.account, -amount) for amount in rest.values())
            else:
                filled.append(posting)
        return replace(self, postings=tuple(filled))

    def reversed(self, day: date) -> "Entry":
        """Return the entry that undoes this one, on another day."""
        postings = tuple(
            replace(posting, amount=None if posting.amount is None else -posting.amount)
            for posting in self.postings
        )
        return replace(self, day=day, payee=f"Reversal: {self.payee}", postings=postings)
