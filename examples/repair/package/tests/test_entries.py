"""Entries that balance."""

from datetime import date

import pytest

from tallybook.entries import Entry, Posting
from tallybook.errors import BookError, UnbalancedError
from tallybook.money import Amount

DAY = date(2024, 1, 31)


def eur(text):
    return Amount.of(text, "EUR")


def entry(*postings):
    return Entry(DAY, "Shop", postings)


def test_a_balanced_entry_stays_as_it_is():
    given = entry(Posting("Expenses:Food", eur(5)), Posting("Assets:Cash", eur(-5)))
    assert given.completed() == given
    assert given.imbalance == {}


def test_the_amount_left_out_is_filled_in():
    given = entry(Posting("Expenses:Food", eur(5)), Posting("Assets:Cash"))
    assert given.completed().postings[1] == Posting("Assets:Cash", eur(-5))


def test_two_commodities_are_filled_in():
    given = entry(
        Posting("Expenses:Food", eur(5)),
        Posting("Expenses:Trip", Amount.of(7, "USD")),
        Posting("Assets:Cash"),
    )
    assert given.completed().postings[2:] == (
        Posting("Assets:Cash", eur(-5)),
        Posting("Assets:Cash", Amount.of(-7, "USD")),
    )


def test_an_unbalanced_entry_is_refused():
    given = entry(Posting("Expenses:Food", eur(5)), Posting("Assets:Cash", eur(-4)))
    with pytest.raises(UnbalancedError, match="off by 1.00 EUR"):
        given.completed()


def test_two_amounts_left_out_are_refused():
    with pytest.raises(UnbalancedError, match="more than one"):
        entry(Posting("Expenses:Food"), Posting("Assets:Cash")).completed()


def test_nothing_left_to_fill_in_is_refused():
    given = entry(
        Posting("Expenses:Food", eur(5)), Posting("Assets:Cash", eur(-5)), Posting("Assets:Bank")
    )
    with pytest.raises(UnbalancedError, match="nothing is left for Assets:Bank"):
        given.completed()


def test_one_posting_is_too_few():
    with pytest.raises(BookError, match="two postings"):
        entry(Posting("Assets:Cash", eur(0))).completed()


def test_a_wrong_account_is_refused():
    with pytest.raises(BookError, match="no such account"):
        entry(Posting("Pocket", eur(1)), Posting("Assets:Cash", eur(-1))).completed()


def test_a_cost_is_what_balances():
    given = entry(
        Posting("Assets:Shares", Amount.of(10, "ACME"), eur("12.50")),
        Posting("Assets:Bank", eur(-125)),
    )
    assert given.completed() == given


def test_accounts():
    given = entry(Posting("Expenses:Food", eur(5)), Posting("Assets:Cash"))
    assert given.accounts == {"Expenses:Food", "Assets:Cash"}


def test_reversal():
    given = entry(Posting("Expenses:Food", eur(5)), Posting("Assets:Cash")).completed()
    undone = given.reversed(date(2024, 2, 1))
    assert undone.day == date(2024, 2, 1)
    assert undone.payee == "Reversal: Shop"
    assert [posting.amount for posting in undone.postings] == [eur(-5), eur(5)]
    assert undone.imbalance == {}
