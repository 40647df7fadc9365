"""Rules for entries that come back: every second Friday, the last day of each month."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Iterator

from .calendar import WEEKDAYS, add_months, nth_weekday, week_start


@dataclass(frozen=True)
class Rule:
    """When something comes back.

    Attributes:
        every: ``day``, ``week`` or ``month``.
        interval: every how many days, weeks or months.
        start: the day from which on the rule holds.
        until: the last day on which it may hold (included), or None.
        count: how many times at most, or None. Days skipped do not count.
        weekdays: for weeks, the days of the week; empty means that of the start.
        nth: for months, (which, weekday) such as (2, 1) for the second Tuesday.
        skip: days on which it does not happen.
    """

    every: str
    start: date
    interval: int = 1
    until: date | None = None
    count: int | None = None
    weekdays: tuple[int, ...] = ()
    nth: tuple[int, int] | None = None
    skip: frozenset[date] = field(default_factory=frozenset)

    def __post_init__(self) -> None:
        if self.interval < 1:
            raise ValueError(f"the interval must be 1 or more, not {self.interval}")
        if self.every not in ("day", "week", "month"):
            raise ValueError(f"cannot repeat every {self.every!r}")
        if self.until is None and self.count is None:
            raise ValueError("a rule needs an end: until or count")

    def dates(self) -> Iterator[date]:
        """Yield the days in order."""
        given = 0
        for day in self._candidates():
            if self.until is not None and day > self.until:
                return
            if self.count is not None and given >= self.count:
                return
            if day < self.start or day in self.skip:
                continue
            given += 1
            yield day

    def _candidates(self) -> Iterator[date]:
        if self.every == "day":
            yield from self._daily()
        elif self.every == "week":
            yield from self._weekly()
        else:
            yield from self._monthly()

    def _daily(self) -> Iterator[date]:
        day = self.start
        while True:
            yield day
            day += timedelta(days=self.interval)

    def _weekly(self) -> Iterator[date]:
        chosen = sorted(self.weekdays) or [self.start.weekday()]
        monday = week_start(self.start)
        while True:
            for weekday in chosen:
                yield monday + timedelta(days=weekday)
            monday += timedelta(weeks=self.interval)

    def _monthly(self) -> Iterator[date]:
        months = 0
        while True:
            day = add_months(self.start, months)
            if self.nth is None:
                yield day
            else:
                which, weekday = self.nth
                found = nth_weekday(day.year, day.month, weekday, which)
                if found is not None:
                    yield found
            months += self.interval


def parse_rule(text: str, start: date) -> Rule:
    """Read ``"every 2 weeks on mon, fri until 2024-06-30"`` or ``"every month for 6 times"``.

    Raises:
        ValueError: when the text is not such a rule.
    """
    words = text.replace(",", " ").lower().split()
    if len(words) < 2 or words[0] != "every":
        raise ValueError(f"a rule begins with 'every': {text!r}")
    position = 1
    interval = 1
    if words[position].isdigit():
        interval = int(words[position])
        position += 1
    if position == len(words):
        raise ValueError(f"every {interval} of what? {text!r}")
    every = words[position].rstrip("s")
    position += 1
    until: date | None = None
    count: int | None = None
    weekdays: list[int] = []
    while position < len(words):
        word = words[position]
        if word == "on":
            position += 1
            while position < len(words) and words[position] in WEEKDAYS:
                weekdays.append(WEEKDAYS.index(words[position]))
                position += 1
        elif word == "until" and position + 1 < len(words):
            until = date.fromisoformat(words[position + 1])
            position += 2
        elif word == "for" and position + 1 < len(words):
            count = int(words[position + 1])
            position += 3 if words[position + 2 : position + 3] == ["times"] else 2
        else:
            raise ValueError(f"cannot read {word!r} in {text!r}")
    return Rule(every, start, interval, until, count, tuple(weekdays))
