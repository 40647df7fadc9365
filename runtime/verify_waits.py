"""The verdict on a run's stops and questions: what may happen while nobody runs it, and once."""

from collections.abc import Iterable

from monastery.runtime.events import (
    ItemAnswered,
    ItemClosed,
    ItemPosted,
    RunEnded,
    RunInterrupted,
    RunParked,
    RunResumed,
    SeedRevealed,
    StepUnresolved,
)
from monastery.runtime.journal import Record

_MEANWHILE = (ItemPosted, ItemAnswered, ItemClosed, StepUnresolved, SeedRevealed, RunEnded)
"""What people do about a run that stands still: ask what became of its step, or end it."""


def waits(told: Iterable[Record]) -> tuple[bool, str]:
    """Nothing was done while the run stood still, and every question was settled once.

    Returns:
        The verdict, and why.
    """
    stands, stops, waiting, settled = "", 0, set[str](), 0
    for record in told:
        event, place = record.event, f"event {record.seq}"
        if stands and not isinstance(event, (RunResumed, *_MEANWHILE)):
            return False, f"{place}: {event.type} in a run that was {stands} and not resumed"
        match event:
            case RunInterrupted():
                stands, stops = "stopped", stops + 1
            case RunParked():
                stands, stops = "parked", stops + 1
                if not event.items or not waiting.issuperset(event.items):
                    return False, f"{place}: the run was parked on questions that do not wait"
            case RunResumed():
                stands = ""
            case ItemPosted() if event.item in waiting:
                return False, f"{place}: {event.item} was put twice"
            case ItemPosted():
                waiting.add(event.item)
            case ItemAnswered() | ItemClosed() if event.item not in waiting:
                return False, f"{place}: {event.item} was settled and did not wait"
            case ItemAnswered() | ItemClosed():
                waiting.discard(event.item)
                settled += 1
            case _:
                pass
    return (
        True,
        f"{settled} questions, each settled once; {stops} stops, each gone on from in order",
    )
