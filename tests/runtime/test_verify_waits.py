"""The verdict on stops and questions: each way to break their order is found."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from monastery.runtime.events import (
    AgentEnded,
    BlobRef,
    Event,
    ItemAnswered,
    ItemClosed,
    ItemPosted,
    RunEnded,
    RunInterrupted,
    RunParked,
    RunResumed,
    SegmentStarted,
)
from monastery.runtime.journal import Record
from monastery.runtime.verify_waits import waits

BLOB = BlobRef(ref="0" * 64, size_bytes=1)
POSTED = ItemPosted(item="r.1.ask", purpose="ask", body=BLOB)
ANSWERED = ItemAnswered(item="r.1.ask", by="ada", answer=BLOB)
CLOSED = ItemClosed(item="r.1.ask", reason="expired")
PARKED = RunParked(items=["r.1.ask"], ended=AgentEnded(success=True, reason="done"))
RESUMED = RunResumed(version="1")
STOPPED = RunInterrupted(reason="it was stopped")
THOUGHT = SegmentStarted(segment="r.1", index=1, boundary=0)
ENDED = RunEnded(success=False, reason="forgotten by ada")
HONEST: list[Event] = [THOUGHT, POSTED, PARKED, RESUMED, ANSWERED, THOUGHT, STOPPED, ENDED]


def _told(events: list[Event]) -> tuple[bool, str]:
    at = datetime(2026, 11, 21, tzinfo=UTC)
    return waits(Record(seq, at, event) for seq, event in enumerate(events))


def test_an_honest_record_holds() -> None:
    """A run that was parked, went on, was stopped and was forgotten."""
    assert _told(HONEST)[0]


BREAKS: list[tuple[str, Callable[[list[Event]], list[Event]]]] = [
    ("not resumed", lambda told: [THOUGHT, POSTED, PARKED, ANSWERED, THOUGHT]),
    ("not resumed", lambda told: [*told[:-1], THOUGHT]),
    ("put twice", lambda told: [told[0], POSTED, *told[1:]]),
    ("did not wait", lambda told: [THOUGHT, ANSWERED]),
    ("did not wait", lambda told: [*told[:5], ANSWERED]),
    ("did not wait", lambda told: [*told[:5], CLOSED]),
    ("do not wait", lambda told: [THOUGHT, PARKED]),
    ("do not wait", lambda told: [THOUGHT, POSTED, CLOSED, PARKED]),
    ("do not wait", lambda told: [THOUGHT, RunParked(items=[], ended=None)]),
]


@pytest.mark.parametrize(("why", "change"), BREAKS)
def test_what_is_out_of_order_is_found(
    why: str, change: Callable[[list[Event]], list[Event]]
) -> None:
    """Acting while parked or stopped, settling twice, parking on nothing: each with its reason."""
    verdict, reason = _told(change(list(HONEST)))
    assert verdict is False
    assert why in reason
