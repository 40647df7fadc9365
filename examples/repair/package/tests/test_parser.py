"""Books as text."""

from datetime import date

import pytest

from tallybook import Amount, parse_book
from tallybook.errors import ParseError
from tallybook.parser import without_comment

BOOK = """\
; my book
2024-01-31 * Landlord #rent #home
    Expenses:Rent      800.00 EUR ; warm
    Assets:Bank

2024/01/15 Employer
    Assets:Bank        2,500.00 EUR
    Income:Salary
2024-02-01 price ACME 12.50 EUR

2024-02-02 Broker
    Assets:Shares      10 ACME @ 12.50 EUR
    Assets:Bank        -125.00 EUR
"""


def test_entries_are_read_in_order_of_time():
    book = parse_book(BOOK)
    assert [entry.payee for entry in book.entries] == ["Employer", "Landlord", "Broker"]


def test_the_head_of_an_entry():
    landlord = parse_book(BOOK).entries[1]
    assert landlord.day == date(2024, 1, 31)
    assert landlord.tags == {"rent", "home"}
    assert landlord.cleared


def test_an_entry_that_is_not_cleared():
    assert not parse_book(BOOK).entries[0].cleared


def test_amounts_are_filled_in():
    landlord = parse_book(BOOK).entries[1]
    assert landlord.postings[1].amount == Amount.of("-800.00", "EUR")


def test_costs():
    broker = parse_book(BOOK).entries[2]
    assert broker.postings[0].cost == Amount.of("12.50", "EUR")
    assert broker.postings[0].weight == Amount.of("125", "EUR")


def test_prices():
    prices = parse_book(BOOK).prices
    worth = prices.convert(Amount.of(2, "ACME"), "EUR", date(2024, 3, 1))
    assert worth == Amount.of("25.00", "EUR")


@pytest.mark.parametrize(
    "line, kept",
    [
        ("; all of it", ""),
        ("   ; indented", ""),
        ("some text ; and a comment", "some text"),
        ("a;b", "a;b"),
        ("plain", "plain"),
    ],
)
def test_comments(line, kept):
    assert without_comment(line) == kept


@pytest.mark.parametrize(
    "text, number, message",
    [
        ("  Assets:Bank  1 EUR", 1, "without an entry"),
        ("\n2024-13-01 Shop\n  Assets:Bank 1 EUR\n", 2, "not a date"),
        ("2024-01-01 Shop\n  Assets:Bank 1 EUR\n  Income:Gift -2 EUR\n", 1, "off by"),
        ("2024-01-01 Shop\n  Assets:Bank 1\n  Income:Gift\n", 2, "expected a number"),
        ("2024-01-01 price ACME 12.50\n", 1, "a price is written"),
        ("2024-01-01 price ACME a b\n", 1, "expected a number"),
    ],
)
def test_what_is_wrong_and_where(text, number, message):
    with pytest.raises(ParseError, match=message) as caught:
        parse_book(text)
    assert caught.value.line_number == number


def test_an_empty_book():
    assert len(parse_book("")) == 0
    assert len(parse_book("\n; nothing\n")) == 0
