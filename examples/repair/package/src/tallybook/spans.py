"""Half-open spans of days, and sets of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Iterable, Iterator

from .calendar import add_months, month_start, quarter_start, week_start


@dataclass(frozen=True, order=True)
class Span:
    """The days from start (included) to stop (excluded)."""

    start: date
    stop: date

    def __post_init__(self) -> None:
        if self.stop < self.start:
            raise ValueError(f"a span cannot stop before it starts: {self.start} {self.stop}")

    def __contains__(self, day: date) -> bool:
        return self.start <= day < self.stop

    @property
    def days(self) -> int:
        """How many days the span has."""
        return (self.stop - self.start).days

    @property
    def is_empty(self) -> bool:
        """Whether the span has no day."""
        return self.start == self.stop

    def overlaps(self, other: "Span") -> bool:
        """Return whether the two share a day."""
        return self.start < other.stop and other.start < self.stop

    def touches(self, other: "Span") -> bool:
        """Return whether the two overlap or one begins on the day that the other stops."""
        return self.start <= other.stop and other.start < self.stop

    def intersection(self, other: "Span") -> "Span | None":
        """Return the days that both have, or None."""
        if not self.overlaps(other):
            return None
        return Span(max(self.start, other.start), min(self.stop, other.stop))

    def shifted(self, days: int) -> "Span":
        """Return the span moved by a number of days."""
        step = timedelta(days=days)
        return Span(self.start + step, self.stop + step)

    def periods(self, every: str) -> Iterator["Span"]:
        """Cut into calendar periods (``week``, ``month``, ``quarter`` or ``year``).

        The first and the last may be shorter: nothing outside the span is ever yielded.
        """
        start = self.start
        while start < self.stop:
            stop = min(next_period(start, every), self.stop)
            yield Span(start, stop)
            start = stop


def next_period(day: date, every: str) -> date:
    """Return the first day of the calendar period after the one that holds the day."""
    if every == "week":
        return week_start(day) + timedelta(days=7)
    if every == "month":
        return add_months(month_start(day), 1)
    if every == "quarter":
        return add_months(quarter_start(day), 3)
    if every == "year":
        return date(day.year + 1, 1, 1)
    raise ValueError(f"no such period: {every!r}")


def merged(spans: Iterable[Span]) -> list[Span]:
    """Return the same days as the fewest spans, in order. Empty spans vanish."""
    result: list[Span] = []
    for span in sorted(spans):
        if span.is_empty:
            continue
        if result and result[-1].touches(span):
            last = result.pop()
            span = Span(last.start, max(last.stop, span.stop))
        result.append(span)
    return result


def gaps(spans: Iterable[Span], within: Span) -> list[Span]:
    """Return the parts of a span that none of the others covers."""
    free: list[Span] = []
    start = within.start
    for span in merged(spans):
        if span.stop <= within.start or span.start >= within.stop:
            continue
        if span.start > start:
            free.append(Span(start, span.start))
        start = max(start, span.stop)
    if start < within.stop:
        free.append(Span(start, within.stop))
    return free
