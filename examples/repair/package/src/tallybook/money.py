"""Amounts of a commodity, held exactly, with the arithmetic that bookkeeping needs."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Iterable, Sequence

PLACES = {"EUR": 2, "USD": 2, "GBP": 2, "CHF": 2, "JPY": 0, "BTC": 8}
DEFAULT_PLACES = 2


def places_of(commodity: str) -> int:
    """Return how many decimal places amounts of a commodity are kept with."""
    return PLACES.get(commodity, DEFAULT_PLACES)


@dataclass(frozen=True)
class Amount:
    """A quantity of one commodity."""

    quantity: Decimal
    commodity: str

    @classmethod
    def of(cls, quantity: int | str | Decimal, commodity: str) -> "Amount":
        """Build an amount from anything that Decimal reads."""
        return cls(Decimal(quantity), commodity)

    @classmethod
    def parse(cls, text: str) -> "Amount":
        """Read ``"1,234.50 EUR"`` or ``"EUR 1,234.50"``.

        Raises:
            ValueError: when the text is not one number and one commodity.
        """
        parts = text.split()
        if len(parts) != 2:
            raise ValueError(f"expected a number and a commodity, got {text!r}")
        first, second = parts
        if is_number(first):
            number, commodity = first, second
        else:
            number, commodity = second, first
        if not is_number(number) or is_number(commodity):
            raise ValueError(f"expected a number and a commodity, got {text!r}")
        return cls(Decimal(number.replace(",", "")), commodity)

    def __add__(self, other: "Amount") -> "Amount":
        self._check(other)
        return Amount(self.quantity + other.quantity, self.commodity)

    def __sub__(self, other: "Amount") -> "Amount":
        self._check(other)
        return Amount(self.quantity - other.quantity, self.commodity)

    def __neg__(self) -> "Amount":
        return Amount(-self.quantity, self.commodity)

    def __mul__(self, factor: int | Decimal) -> "Amount":
        return Amount(self.quantity * factor, self.commodity)

    def __str__(self) -> str:
        return f"{self.rounded().quantity:,f} {self.commodity}"

    def _check(self, other: "Amount") -> None:
        if self.commodity != other.commodity:
            raise ValueError(f"cannot mix {self.commodity} and {other.commodity}")

    @property
    def is_zero(self) -> bool:
        """Whether nothing is left once rounded to the places of the commodity."""
        return self.rounded().quantity == 0

    def rounded(self, banker: bool = False) -> "Amount":
        """Round to the places of the commodity, halves up (or to even, as bankers do)."""
        unit = Decimal(1).scaleb(-places_of(self.commodity))
        mode = ROUND_HALF_EVEN if banker else ROUND_HALF_UP
        return Amount(self.quantity.quantize(unit, rounding=mode), self.commodity)

    def split(self, weights: Sequence[int]) -> list["Amount"]:
        """Divide into shares by weight so that no cent is lost.

        Each share is rounded down; the units left over go one each to the first shares.

        Raises:
            ValueError: when there is no positive weight.
        """
        total = sum(weights)
        if total <= 0:
            raise ValueError("the weights must add up to something positive")
        unit = Decimal(1).scaleb(-places_of(self.commodity))
        shares = [
            (self.quantity * weight / total).quantize(unit, rounding=ROUND_DOWN)
            for weight in weights
        ]
        left = self.quantity - sum(shares)
        step = unit if left > 0 else -unit
        for index in range(int(abs(left) / unit)):
            shares[index % len(shares)] += unit
        return [Amount(share, self.commodity) for share in shares]


def is_number(text: str) -> bool:
    """Return whether the text is a finite decimal number, thousands commas allowed."""
    try:
        return Decimal(text.replace(",", "")).is_finite()
    except InvalidOperation:
        return False


def total(amounts: Iterable[Amount]) -> dict[str, Amount]:
    """Add amounts up, one total for each commodity; commodities that cancel out are left out."""
    sums: dict[str, Amount] = {}
    for amount in amounts:
        held = sums.get(amount.commodity)
        sums[amount.commodity] = amount if held is None else held + amount
    return {name: amount for name, amount in sums.items() if not amount.is_zero}
