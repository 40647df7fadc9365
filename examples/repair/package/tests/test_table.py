"""Tables of text."""

import pytest

from tallybook import Amount
from tallybook.table import Table, account_tree, clipped, csv_line, padded, wrapped


def test_clip():
    assert clipped("balance", 7) == "balance"
    assert clipped("balance", 5) == "bala…"


def test_pad():
    assert padded("a", 3) == "a  "
    assert padded("a", 3, ">") == "  a"
    assert padded("a", 3, "^") == " a "


def test_wrap():
    assert wrapped("one two three", 7) == ["one two", "three"]
    assert wrapped("one two three", 6) == ["one", "two", "three"]
    assert wrapped("", 6) == []


def test_wrap_a_long_word():
    assert wrapped("a abcdefgh b", 3) == ["a", "abc", "def", "gh", "b"]
    assert wrapped("abcdef", 3) == ["abc", "def"]


def test_widths():
    table = Table(["name", "n"])
    table.add("longer name", 5)
    assert table.widths() == [11, 1]


def test_widths_are_bounded():
    table = Table(["name"], max_width=5)
    table.add("longer name")
    assert table.widths() == [5]
    assert table.lines()[2] == "long…"


def test_lines():
    table = Table(["name", "amount"], "<>")
    table.add("Bank", 5)
    table.add("Cash box", 100)
    assert table.lines() == [
        "name      amount",
        "--------  ------",
        "Bank           5",
        "Cash box     100",
    ]


def test_missing_cells_are_empty():
    table = Table(["a", "b"])
    table.add("x")
    assert table.rows == [["x", ""]]


def test_too_many_cells():
    with pytest.raises(ValueError):
        Table(["a"]).add(1, 2)


def test_account_tree():
    sums = {"Assets": Amount.of(5, "EUR"), "Assets:Bank": Amount.of(5, "EUR")}
    assert account_tree(sums).splitlines()[2:] == [
        "Assets   5.00 EUR",
        "  Bank   5.00 EUR",
    ]


def test_csv():
    assert csv_line(["a", 1]) == "a,1"
    assert csv_line(["a,b", 'say "hi"', "x\ny"]) == '"a,b","say ""hi""","x\ny"'
