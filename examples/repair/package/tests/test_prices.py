"""Prices over time."""

from datetime import date
from decimal import Decimal

import pytest

from tallybook.errors import PriceError
from tallybook.money import Amount
from tallybook.prices import Prices


@pytest.fixture
def prices():
    known = Prices()
    known.add(date(2024, 1, 10), "ACME", Amount.of(10, "EUR"))
    known.add(date(2024, 1, 20), "ACME", Amount.of(12, "EUR"))
    known.add(date(2024, 1, 1), "EUR", Amount.of("1.25", "USD"))
    known.add(date(2024, 1, 1), "USD", Amount.of(150, "JPY"))
    return known


def test_the_latest_price_counts(prices):
    assert prices.direct("ACME", "EUR", date(2024, 1, 15)) == 10
    assert prices.direct("ACME", "EUR", date(2024, 2, 1)) == 12


def test_a_price_holds_from_its_own_day(prices):
    assert prices.direct("ACME", "EUR", date(2024, 1, 20)) == 12
    assert prices.direct("ACME", "EUR", date(2024, 1, 10)) == 10


def test_before_the_first_price_nothing_is_known(prices):
    assert prices.direct("ACME", "EUR", date(2024, 1, 9)) is None


def test_the_inverse(prices):
    assert prices.direct("USD", "EUR", date(2024, 1, 5)) == Decimal("0.8")


def test_a_later_note_replaces_the_earlier(prices):
    prices.add(date(2024, 1, 10), "ACME", Amount.of(11, "EUR"))
    assert prices.direct("ACME", "EUR", date(2024, 1, 15)) == 11


def test_a_price_must_be_positive(prices):
    with pytest.raises(PriceError):
        prices.add(date(2024, 1, 10), "ACME", Amount.of(0, "EUR"))


def test_rate_to_itself(prices):
    assert prices.rate("EUR", "EUR", date(2024, 1, 1)) == 1


def test_rate_by_a_chain(prices):
    assert prices.rate("ACME", "JPY", date(2024, 1, 15)) == Decimal(10) * Decimal("1.25") * 150


def test_no_chain(prices):
    with pytest.raises(PriceError, match="from GOLD to EUR"):
        prices.rate("GOLD", "EUR", date(2024, 1, 15))


def test_convert_rounds(prices):
    worth = prices.convert(Amount.of("1", "JPY"), "USD", date(2024, 1, 15))
    assert worth == Amount.of("0.01", "USD")


def test_days_with_a_price(prices):
    assert prices.between("ACME", "EUR", date(2024, 1, 10), date(2024, 1, 20)) == [
        date(2024, 1, 10)
    ]
    assert prices.between("ACME", "EUR", date(2024, 1, 11), date(2024, 1, 21)) == [
        date(2024, 1, 20)
    ]
    assert prices.between("GOLD", "EUR", date(2024, 1, 1), date(2024, 2, 1)) == []
