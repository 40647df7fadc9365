"""Choosing entries."""

import pytest

from tallybook import parse_book
from tallybook.query import QueryError, compare, compile_query, tokens

BOOK = parse_book(
    """\
2024-01-31 * Landlord #rent
    Expenses:Rent      800 EUR
    Assets:Bank
2024-02-01 Corner Shop
    Expenses:Food       12 EUR
    Assets:Cash
2024-02-10 * Supermarket #food
    Expenses:Food      100 EUR
    Assets:Bank
"""
)


def chosen(text):
    return [entry.payee for entry in BOOK.where(compile_query(text)).entries]


def test_tokens():
    assert tokens('payee ~ "corner shop" and(amount>=10)') == [
        "payee", "~", "corner shop", "and", "(", "amount", ">=", "10", ")",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text, payees",
    [
        ("account = Expenses:Food", ["Corner Shop", "Supermarket"]),
        ("account = Assets:Bank", ["Landlord", "Supermarket"]),
        ("account != Assets:Bank", ["Corner Shop"]),
        ("payee ~ SHOP", ["Corner Shop"]),
        ('payee = "Corner Shop"', ["Corner Shop"]),
        ("tag = rent", ["Landlord"]),
        ("cleared", ["Landlord", "Supermarket"]),
        ("not cleared", ["Corner Shop"]),
        ("date >= 2024-02-01", ["Corner Shop", "Supermarket"]),
        ("date < 2024-02-01", ["Landlord"]),
        ("amount > 100", ["Landlord"]),
        ("amount >= 100", ["Landlord", "Supermarket"]),
        ("amount = 12", ["Corner Shop"]),
        ("amount < 100", ["Corner Shop"]),
    ],
)
def test_single_conditions(text, payees):
    assert chosen(text) == payees


def test_and():
    assert chosen("account = Expenses:Food and cleared") == ["Supermarket"]


def test_or():
    assert chosen("tag = rent or tag = food") == ["Landlord", "Supermarket"]


def test_and_binds_closer_than_or():
    assert chosen("tag = rent or cleared and amount < 200") == ["Landlord", "Supermarket"]
    assert chosen("cleared and amount < 200 or tag = rent") == ["Landlord", "Supermarket"]


def test_not_binds_closest():
    assert chosen("not cleared and amount < 200") == ["Corner Shop"]
    assert chosen("not tag = rent and cleared") == ["Supermarket"]


def test_parentheses():
    assert chosen("(tag = rent or cleared) and amount < 200") == ["Supermarket"]
    assert chosen("not (cleared or amount > 700)") == ["Corner Shop"]


@pytest.mark.parametrize(
    "text",
    ["", "cleared cleared", "(cleared", "amount", "amount > many", "date = soon", "tag ~ x", "!"],
)
def test_what_is_not_a_query(text):
    with pytest.raises(QueryError):
        compile_query(text)


@pytest.mark.parametrize(
    "sign, found",
    [
        ("=", [False, True, False]),
        ("!=", [True, False, True]),
        ("<", [True, False, False]),
        ("<=", [True, True, False]),
        (">", [False, False, True]),
        (">=", [False, True, True]),
    ],
)
def test_compare(sign, found):
    assert [compare(number, sign, 2) for number in (1, 2, 3)] == found
