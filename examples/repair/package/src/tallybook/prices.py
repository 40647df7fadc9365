"""Prices over time, and the way from one commodity to another."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import deque
from datetime import date
from decimal import Decimal

from .errors import PriceError
from .money import Amount


class Prices:
    """What one unit of a commodity was worth in another, day by day."""

    def __init__(self) -> None:
        self._days: dict[tuple[str, str], list[date]] = {}
        self._rates: dict[tuple[str, str, date], Decimal] = {}

    def add(self, day: date, commodity: str, price: Amount) -> None:
        """Note a price; a later note for the same day replaces the earlier."""
        if price.quantity <= 0:
            raise PriceError(f"a price must be positive: {price}")
        pair = (commodity, price.commodity)
        if (*pair, day) not in self._rates:
            insort(self._days.setdefault(pair, []), day)
        self._rates[(*pair, day)] = price.quantity

    def direct(self, source: str, target: str, day: date) -> Decimal | None:
        """Return the latest noted rate on or before a day, or its inverse, or None."""
        for pair, invert in (((source, target), False), ((target, source), True)):
            known = self._days.get(pair, [])
            position = bisect_right(known, day)
            if position > 0:
                rate = self._rates[(*pair, known[position - 1])]
                return 1 / rate if invert else rate
        return None

    def rate(self, source: str, target: str, day: date) -> Decimal:
        """Return the rate by the shortest chain of prices known on a day.

        Raises:
            PriceError: when no chain leads there.
        """
        queue = deque([(source, Decimal(1))])
        seen = {source}
        while queue:
            commodity, rate = queue.popleft()
            if commodity == target:
                return rate
            for other in sorted(self._neighbours(commodity) - seen):
                step = self.direct(commodity, other, day)
                if step is not None:
                    seen.add(other)
                    queue.append((other, rate * step))
        raise PriceError(f"no price leads from {source} to {target} on {day}")

    def convert(self, amount: Amount, target: str, day: date) -> Amount:
        """Return the worth of an amount in another commodity, rounded."""
        rate = self.rate(amount.commodity, target, day)
        return Amount(amount.quantity * rate, target).rounded()

    def between(self, commodity: str, target: str, start: date, stop: date) -> list[date]:
        """Return the days from start (included) to stop (excluded) that have a noted price."""
        known = self._days.get((commodity, target), [])
        return known[bisect_left(known, start) : bisect_left(known, stop)]

    def _neighbours(self, commodity: str) -> set[str]:
        pairs = [pair for pair in self._days if commodity in pair]
        return {name for pair in pairs for name in pair}
