"""Questions to a book."""

from datetime import date

import pytest

from tallybook import Amount, Book, Entry, Posting, parse_book
from tallybook.spans import Span

TEXT = """\
2024-01-01 Opening
    Assets:Bank        1,000 EUR
    Equity:Opening
2024-01-05 Baker
    Expenses:Food:Bread   4 EUR
    Assets:Bank
2024-01-05 Grocer
    Expenses:Food        36 EUR
    Assets:Bank
2024-02-01 Exchange
    Assets:Cash         110 USD
    Assets:Bank        -100 EUR
    Equity:Exchange     100 EUR
    Equity:Exchange    -110 USD
2024-01-01 price EUR 1.10 USD
"""


def eur(text):
    return Amount.of(text, "EUR")


@pytest.fixture
def book():
    return parse_book(TEXT)


def test_balance(book):
    assert book.balance("Assets:Bank") == {"EUR": eur(860)}
    assert book.balance("Expenses:Food") == {"EUR": eur(40)}


def test_balance_at_the_end_of_a_day(book):
    assert book.balance("Assets:Bank", until=date(2024, 1, 4)) == {"EUR": eur(1000)}
    assert book.balance("Assets:Bank", until=date(2024, 1, 5)) == {"EUR": eur(960)}


def test_balance_of_all_assets(book):
    assert book.balance("Assets") == {"EUR": eur(860), "USD": Amount.of(110, "USD")}


def test_worth(book):
    assert book.worth("Assets", "EUR", date(2024, 2, 1)) == eur(960)
    assert book.worth("Assets", "EUR", date(2024, 1, 31)) == eur(960)


def test_register(book):
    lines = book.register("Expenses:Food")
    assert [(line.payee, line.amount, line.balance) for line in lines] == [
        ("Baker", eur(4), eur(4)),
        ("Grocer", eur(36), eur(40)),
    ]


def test_register_of_two_commodities(book):
    balances = [line.balance for line in book.register("Assets")]
    assert balances[-2:] == [Amount.of(110, "USD"), eur(860)]


def test_tree(book):
    sums = book.tree("EUR")
    assert sums["Expenses"] == eur(40)
    assert sums["Expenses:Food"] == eur(40)
    assert sums["Expenses:Food:Bread"] == eur(4)
    assert list(sums) == sorted(sums)


def test_tree_to_a_depth(book):
    assert list(book.tree("EUR", depth=1)) == ["Assets", "Equity", "Expenses"]


def test_within(book):
    january = book.within(Span(date(2024, 1, 1), date(2024, 2, 1)))
    assert len(january) == 3


def test_span(book):
    assert book.span() == Span(date(2024, 1, 1), date(2024, 2, 2))
    assert Book().span() is None


def test_entries_of_one_day_keep_their_order(book):
    late = Entry(
        date(2024, 1, 5), "Kiosk", (Posting("Expenses:Paper", eur(2)), Posting("Assets:Cash"))
    )
    book.add(late)
    assert [entry.payee for entry in book.entries][1:4] == ["Baker", "Grocer", "Kiosk"]


def test_an_early_entry_goes_to_the_front(book):
    early = Entry(
        date(2023, 12, 31), "Gift", (Posting("Assets:Cash", eur(2)), Posting("Income:Gift"))
    )
    book.add(early)
    assert book.entries[0].payee == "Gift"
    assert book.entries[0].postings[1].amount == eur(-2)


def test_unused(book):
    assert book.unused(date(2024, 1, 5)) == ["Equity:Opening"]
    assert book.unused(date(2024, 2, 1)) == [
        "Equity:Opening",
        "Expenses:Food",
        "Expenses:Food:Bread",
    ]


def test_account_names(book):
    assert book.account_names()[0] == "Assets:Bank"
    assert len(book.account_names()) == 6
