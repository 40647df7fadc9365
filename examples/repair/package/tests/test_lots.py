"""Cost lots."""

from datetime import date
from decimal import Decimal

import pytest

from tallybook.errors import LotError
from tallybook.lots import Holding, Lot, Sale


@pytest.fixture
def holding():
    held = Holding()
    held.buy(date(2023, 6, 1), Decimal(10), Decimal(20))
    held.buy(date(2023, 1, 1), Decimal(5), Decimal(10))
    return held


def test_units_and_cost(holding):
    assert holding.units == 15
    assert holding.cost == 250


def test_lots_are_kept_oldest_first(holding):
    assert [lot.day for lot in holding.lots] == [date(2023, 1, 1), date(2023, 6, 1)]


def test_mean_price(holding):
    holding.buy(date(2023, 7, 1), Decimal(5), Decimal(30))
    assert holding.mean_price == 20


def test_mean_price_of_nothing():
    assert Holding().mean_price == 0


def test_a_purchase_must_be_positive(holding):
    with pytest.raises(LotError):
        holding.buy(date(2023, 6, 1), Decimal(0), Decimal(20))


def test_sell_part_of_a_lot(holding):
    sales = holding.sell(date(2023, 8, 1), Decimal(2), Decimal(15))
    assert [sale.gain for sale in sales] == [10]
    assert holding.lots[0] == Lot(date(2023, 1, 1), Decimal(3), Decimal(10))


def test_sell_a_whole_lot(holding):
    holding.sell(date(2023, 8, 1), Decimal(5), Decimal(15))
    assert holding.lots == [Lot(date(2023, 6, 1), Decimal(10), Decimal(20))]


def test_sell_from_two_lots(holding):
    sales = holding.sell(date(2023, 8, 1), Decimal(7), Decimal(30))
    assert [(sale.units, sale.cost, sale.proceeds) for sale in sales] == [
        (5, 50, 150),
        (2, 40, 60),
    ]
    assert holding.units == 8


def test_sell_everything(holding):
    holding.sell(date(2023, 8, 1), Decimal(15), Decimal(30))
    assert holding.lots == []
    assert holding.units == 0


def test_sell_too_much(holding):
    with pytest.raises(LotError):
        holding.sell(date(2023, 8, 1), Decimal(16), Decimal(30))
    assert holding.units == 15
    assert holding.sales == []


def test_split(holding):
    holding.split(2)
    assert holding.units == 30
    assert holding.cost == 250


@pytest.mark.parametrize(
    "sold, long_term",
    [(date(2023, 12, 31), False), (date(2024, 1, 1), False), (date(2024, 1, 2), True)],
)
def test_long_term(sold, long_term):
    sale = Sale(date(2023, 1, 1), sold, Decimal(1), Decimal(1), Decimal(2))
    assert sale.is_long_term is long_term


def test_gains_of_a_year(holding):
    holding.sell(date(2023, 12, 1), Decimal(1), Decimal(11))
    holding.sell(date(2024, 3, 1), Decimal(5), Decimal(30))
    assert holding.gains(2023) == (1, 0)
    assert holding.gains(2024) == (10, 80)
    assert holding.gains(2022) == (0, 0)
