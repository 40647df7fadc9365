"""How long a run thought and how long it stood frozen, from its events' times."""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from monastery.runtime.events import (
    BoxStarted,
    ProposalFrozen,
    RunEnded,
    RunInterrupted,
    RunParked,
    RunResumed,
    SegmentStarted,
)
from monastery.runtime.journal import Record


@dataclass(slots=True)
class Clock:
    """Adds up times for each segment; time in which no runtime lived is nobody's.

    Attributes:
        thought, frozen: Seconds for each segment that has any.
    """

    thought: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    frozen: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    _segment: str = ""
    _doing: Literal["thinking", "frozen"] = "thinking"
    _since: datetime | None = None
    _last: datetime | None = None

    def take(self, record: Record) -> None:
        """Take up the run's next event."""
        match record.event:
            case BoxStarted():
                self._since = record.at
            case SegmentStarted() as event:
                going = self._since is not None
                self._stop(record.at)
                self._segment, self._doing = event.segment, "thinking"
                self._since = record.at if going else None
            case ProposalFrozen():
                self._stop(record.at)
                self._doing, self._since = "frozen", record.at
            case RunInterrupted() | RunParked() | RunEnded():
                self._stop(record.at)
            case RunResumed() if self._last is not None:
                self._stop(self._last)
            case _:
                pass
        self._last = record.at

    def _stop(self, at: datetime) -> None:
        if self._since is not None and self._segment:
            spent = self.thought if self._doing == "thinking" else self.frozen
            spent[self._segment] += max(0.0, (at - self._since).total_seconds())
        self._since = None
