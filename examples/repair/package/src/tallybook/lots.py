"""Cost lots: what was bought when and for how much, sold first in, first out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

from .errors import LotError


@dataclass(frozen=True)
class Lot:
    """Units bought together."""

    day: date
    units: Decimal
    price: Decimal

    @property
    def cost(self) -> Decimal:
        """What the units cost together."""
        return self.units * self.price


@dataclass(frozen=True)
class Sale:
    """Units of one lot that were sold."""

    bought: date
    sold: date
    units: Decimal
    cost: Decimal
    proceeds: Decimal

    @property
    def gain(self) -> Decimal:
        """What the sale brought more than the units had cost."""
        return self.proceeds - self.cost

    @property
    def is_long_term(self) -> bool:
        """Whether the units were held for more than a year of 365 days."""
        return (self.sold - self.bought).days > 365


class Holding:
    """The lots of one commodity."""

    def __init__(self) -> None:
        self.lots: list[Lot] = []
        self.sales: list[Sale] = []

    @property
    def units(self) -> Decimal:
        """How many units are held."""
        return sum((lot.units for lot in self.lots), Decimal(0))

    @property
    def cost(self) -> Decimal:
        """What the units held had cost."""
        return sum((lot.cost for lot in self.lots), Decimal(0))

    @property
    def mean_price(self) -> Decimal:
        """What a unit held had cost in the mean; zero when none is held."""
        return self.cost / self.units

    def buy(self, day: date, units: Decimal, price: Decimal) -> None:
        """Add a lot."""
        if units <= 0:
            raise LotError(f"cannot buy {units} units")
        self.lots.append(Lot(day, units, price))
        self.lots.sort(key=lambda lot: lot.day)

    def sell(self, day: date, units: Decimal, price: Decimal) -> list[Sale]:
        """Sell units from the oldest lots and return a sale for each lot touched.

        Raises:
            LotError: when fewer units than that are held; nothing is then sold.
        """
        if units > self.units:
            raise LotError(f"cannot sell {units} of {self.units} units")
        sales: list[Sale] = []
        left = units
        while left > 0:
            lot = self.lots[0]
            taken = min(lot.units, left)
            sales.append(Sale(lot.day, day, taken, taken * lot.price, taken * price))
            left -= taken
            if taken == lot.units:
                self.lots.pop(0)
            else:
                self.lots[0] = replace(lot, units=lot.units - taken)
        self.sales.extend(sales)
        return sales

    def split(self, factor: int) -> None:
        """Split every unit into several; the cost stays what it was."""
        self.lots = [Lot(lot.day, lot.units * factor, lot.price / factor) for lot in self.lots]

    def gains(self, year: int) -> tuple[Decimal, Decimal]:
        """Return the (short-term, long-term) gains of a year's sales."""
        short = long = Decimal(0)
        for sale in self.sales:
            if sale.sold.year != year:
                continue
            if sale.is_long_term:
                long += sale.gain
            else:
                short += sale.gain
        return short, long
