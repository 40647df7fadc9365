"""Amounts."""

from decimal import Decimal

import pytest

from tallybook.money import Amount, is_number, places_of, total


def eur(text):
    return Amount.of(text, "EUR")


@pytest.mark.parametrize(
    "text, quantity, commodity",
    [
        ("12.50 EUR", "12.50", "EUR"),
        ("EUR 12.50", "12.50", "EUR"),
        ("1,234.5 USD", "1234.5", "USD"),
        ("-3 ACME", "-3", "ACME"),
    ],
)
def test_parse(text, quantity, commodity):
    assert Amount.parse(text) == Amount(Decimal(quantity), commodity)


@pytest.mark.parametrize("text", ["", "12", "EUR", "1 2", "EUR USD", "1 EUR extra"])
def test_parse_refuses(text):
    with pytest.raises(ValueError):
        Amount.parse(text)


def test_addition_and_subtraction():
    assert eur("1.10") + eur("2.20") == eur("3.30")
    assert eur("1.10") - eur("2.20") == eur("-1.10")


def test_commodities_do_not_mix():
    with pytest.raises(ValueError):
        eur(1) + Amount.of(1, "USD")


def test_negation_and_product():
    assert -eur("1.5") == eur("-1.5")
    assert eur("1.5") * 3 == eur("4.5")


def test_rounding_halves_up():
    assert eur("0.125").rounded() == eur("0.13")
    assert eur("-0.125").rounded() == eur("-0.13")


def test_rounding_of_bankers():
    assert eur("0.125").rounded(banker=True) == eur("0.12")
    assert eur("0.135").rounded(banker=True) == eur("0.14")


def test_places():
    assert places_of("JPY") == 0
    assert places_of("ACME") == 2
    assert Amount.of("12.6", "JPY").rounded() == Amount.of(13, "JPY")


def test_text():
    assert str(eur("1234.5")) == "1,234.50 EUR"
    assert str(Amount.of("1234.5", "JPY")) == "1,235 JPY"


def test_zero_after_rounding():
    assert eur("0.004").is_zero
    assert not eur("0.005").is_zero


def test_split_evenly():
    assert eur(9).split([1, 1, 1]) == [eur("3.00")] * 3


def test_split_gives_the_rest_to_the_first():
    assert eur(10).split([1, 1, 1]) == [eur("3.34"), eur("3.33"), eur("3.33")]


def test_split_gives_no_share_more_than_one_unit_of_the_rest():
    assert eur("0.05").split([1, 1, 1]) == [eur("0.02"), eur("0.02"), eur("0.01")]


def test_split_by_weight():
    assert eur(100).split([1, 2, 4]) == [eur("14.29"), eur("28.57"), eur("57.14")]


def test_split_of_a_debt():
    assert eur(-10).split([1, 1, 1]) == [eur("-3.34"), eur("-3.33"), eur("-3.33")]


def test_split_with_a_zero_weight():
    assert eur(5).split([0, 1]) == [eur("0.00"), eur("5.00")]


def test_split_needs_weights():
    with pytest.raises(ValueError):
        eur(5).split([])
    with pytest.raises(ValueError):
        eur(5).split([0, 0])


def test_is_number():
    assert is_number("1,000.5")
    assert not is_number("ten")
    assert not is_number("NaN")


def test_total():
    sums = total([eur(1), Amount.of(5, "USD"), eur(2)])
    assert sums == {"EUR": eur(3), "USD": Amount.of(5, "USD")}


def test_total_leaves_out_what_cancels():
    assert total([eur(1), eur(-1)]) == {}
