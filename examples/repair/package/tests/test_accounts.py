"""Names of accounts."""

import pytest

from tallybook import accounts


@pytest.mark.parametrize(
    "name, valid",
    [
        ("Assets", True),
        ("Assets:Bank:2024", True),
        ("Expenses:food", False),
        ("Assets::Bank", False),
        ("Cash", False),
        ("", False),
    ],
)
def test_valid_names(name, valid):
    assert accounts.is_valid(name) is valid


def test_parts():
    assert accounts.root_of("Assets:Bank:Checking") == "Assets"
    assert accounts.leaf_of("Assets:Bank:Checking") == "Checking"
    assert accounts.parent_of("Assets:Bank:Checking") == "Assets:Bank"
    assert accounts.parent_of("Assets") is None
    assert accounts.leaf_of("Assets") == "Assets"


def test_depth():
    assert accounts.depth_of("Assets") == 1
    assert accounts.depth_of("Assets:Bank:Checking") == 3


def test_ancestors():
    assert list(accounts.ancestors("Assets:Bank:Checking")) == ["Assets:Bank", "Assets"]
    assert list(accounts.ancestors("Assets")) == []


def test_under():
    assert accounts.is_under("Assets:Bank", "Assets")
    assert accounts.is_under("Assets:Bank", "Assets:Bank")
    assert not accounts.is_under("Assets:Banknotes", "Assets:Bank")
    assert not accounts.is_under("Assets", "Assets:Bank")


@pytest.mark.parametrize(
    "name, sign",
    [("Assets:Bank", 1), ("Expenses:Rent", 1), ("Income:Salary", -1), ("Liabilities", -1)],
)
def test_signs(name, sign):
    assert accounts.sign_of(name) == sign


def test_short_names_stay():
    assert accounts.shortened("Assets:Bank", 11) == "Assets:Bank"


def test_shorten_only_as_much_as_needed():
    assert accounts.shortened("Assets:Bank:Checking", 16) == "As:Bank:Checking"
    assert accounts.shortened("Assets:Bank:Checking", 15) == "As:Ba:Checking"


def test_the_last_part_is_never_cut():
    assert accounts.shortened("Assets:Bank:Checking", 3) == "As:Ba:Checking"


def test_common_root():
    names = ["Assets:Bank:Checking", "Assets:Bank:Savings", "Assets:Bank"]
    assert accounts.common_root(names) == "Assets:Bank"
    assert accounts.common_root(["Assets:Bank"]) == "Assets:Bank"
    assert accounts.common_root(["Assets:Bank", "Income:Salary"]) is None
    assert accounts.common_root([]) is None
