"""Values over time."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Callable, Sequence

from .spans import Span


@dataclass(frozen=True)
class Series:
    """Values on days that strictly rise."""

    days: tuple[date, ...]
    values: tuple[Decimal, ...]

    def __post_init__(self) -> None:
        if len(self.days) != len(self.values):
            raise ValueError("as many values as days are needed")
        if any(later <= earlier for earlier, later in zip(self.days, self.days[1:])):
            raise ValueError("the days must rise")

    def __len__(self) -> int:
        return len(self.days)

    def at(self, day: date) -> Decimal | None:
        """Return the latest value on or before a day, or None before the first."""
        position = bisect_right(self.days, day)
        return self.values[position - 1] if position else None

    def between(self, day: date) -> Decimal | None:
        """Return the value on a straight line between its neighbours; None outside."""
        position = bisect_right(self.days, day)
        if position == 0:
            return None
        left = position - 1
        if self.days[left] == day:
            return self.values[left]
        if position == len(self.days):
            return None
        run = (self.days[position] - self.days[left]).days
        rise = self.values[position] - self.values[left]
        return self.values[left] + rise * (day - self.days[left]).days / run

    def moving_mean(self, width: int) -> "Series":
        """Return the mean of each value and those before it, of up to ``width`` values."""
        if width < 1:
            raise ValueError(f"the width must be 1 or more, not {width}")
        means = []
        for index in range(len(self.values)):
            window = self.values[max(0, index - width + 1) : index + 1]
            means.append(sum(window, Decimal(0)) / len(window))
        return Series(self.days, tuple(means))

    def changes(self) -> "Series":
        """Return how much each value differs from the one before it."""
        pairs = zip(self.values, self.values[1:])
        return Series(self.days[1:], tuple(later - earlier for earlier, later in pairs))

    def running_total(self) -> "Series":
        """Return the sum of each value and all before it."""
        totals: list[Decimal] = []
        held = Decimal(0)
        for value in self.values:
            held += value
            totals.append(held)
        return Series(self.days, tuple(totals))

    def by_period(
        self, every: str, combine: Callable[[Sequence[Decimal]], Decimal]
    ) -> dict[date, Decimal]:
        """Combine the values of each calendar period; keyed by the period's first day seen."""
        if not self.days:
            return {}
        result: dict[date, Decimal] = {}
        whole = Span(self.days[0], date.fromordinal(self.days[-1].toordinal() + 1))
        for span in whole.periods(every):
            inside = [value for day, value in zip(self.days, self.values) if day in span]
            if inside:
                result[span.start] = combine(inside)
        return result

    def drawdown(self) -> Decimal:
        """Return the deepest fall from a peak to a later value, as a share of the peak."""
        peak = Decimal(0)
        deepest = Decimal(0)
        for value in self.values:
            peak = max(peak, value)
            if peak > 0:
                deepest = max(deepest, (peak - value) / peak)
        return deepest


def mean(values: Sequence[Decimal]) -> Decimal:
    """Return the mean; of nothing, zero."""
    if not values:
        return Decimal(0)
    return sum(values, Decimal(0)) / len(values)


def median(values: Sequence[Decimal]) -> Decimal:
    """Return the middle value, or the mean of the middle two; of nothing, zero."""
    if not values:
        return Decimal(0)
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2 == 1:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2
