"""Parking: a run that waits for people alone does so without its box.

The box is closed as by an interrupt: its work folder stays, and the run goes on from its journal,
with an agent that starts from its history. So a wait of days costs no memory and no processor.
"""

from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import trio

from monastery.runtime.desk import StoreDesk
from monastery.runtime.events import AgentEnded, RunInterrupted, RunParked
from monastery.runtime.journal import Journal
from monastery.runtime.records import Ending
from monastery.runtime.rows import SetStatus
from monastery.runtime.run import Run
from monastery.runtime.store import Store

POLL_SECONDS = 0.5


def only_people(run: Run, desk: StoreDesk, *, ended: bool) -> bool:
    """Whether nothing but answers of people can make the run go on.

    Args:
        run: The run.
        desk: Its desk.
        ended: Whether its agent is done, so that only deferred audits are left.
    """
    if not desk.waiting or not all(_asks(desk, name) for name in run.judging):
        return False  # a program is judging
    return ended or any(item.startswith(f"{run.segment.id}.") for item in desk.waiting)


def _asks(desk: StoreDesk, auditor: str) -> bool:
    """Whether an auditor waits for people: for one, or for some of a panel's seats."""
    return any(item == auditor or item.startswith(f"{auditor}.") for item in desk.waiting)


async def watch(
    run: Run, desk: StoreDesk, ended: Callable[[], bool], scope: trio.CancelScope, seconds: float
) -> None:
    """Cancel `scope` when the run has waited for the same people alone for so long [seconds]."""
    since, before = trio.current_time(), set[str]()
    while True:
        await trio.sleep(min(POLL_SECONDS, seconds))
        now: set[str] = set(desk.waiting) if only_people(run, desk, ended=ended()) else set()
        if now != before:
            since, before = trio.current_time(), now
        elif now and trio.current_time() - since >= seconds:
            scope.cancel()
            return


async def park(journal: Journal, store: Store, ended: Ending | None) -> None:
    """Record that the run is parked, and on what.

    What it waited for can be answered in the moment in which its box is closed: then it is stopped,
    and goes on at once.
    """
    waiting: list[str] = [stored.item.id for stored in store.items(run=journal.run)]
    if not waiting:
        await journal.append(
            RunInterrupted(reason="it was answered while it was being parked"),
            changes=[SetStatus("interrupted")],
            checkpoint=True,
        )
        return
    told = None if ended is None else AgentEnded(success=ended.success, reason=ended.reason)
    await journal.append(
        RunParked(items=waiting, ended=told), changes=[SetStatus("parked")], checkpoint=True
    )


def ready(store: Store, run: str, now: datetime) -> bool:
    """Whether a parked run can go on: all that one of its steps waits for is answered or late."""
    steps: defaultdict[str, list[bool]] = defaultdict(list)
    for stored in store.items(run=run):
        item = stored.item
        late = item.deadline is not None and now > item.deadline
        step = item.id.removeprefix(f"{run}.").partition(".")[0]
        if late:
            return True
        steps[step].append(store.answered(item.id) is not None)
    return not steps or any(map(all, steps.values()))


async def until_ready(store: Store, run: str) -> None:
    """Wait until a parked run can go on.

    As at the desk, the wall clock is read once, and then a clock counts that cannot be set.
    """
    began, since = datetime.now(UTC), trio.current_time()
    while True:
        passed = timedelta(seconds=trio.current_time() - since)
        if ready(store, run, began + passed):
            return
        await trio.sleep(POLL_SECONDS)
