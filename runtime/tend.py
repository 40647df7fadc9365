"""Tending a run that nobody runs: a person's word about it goes into its journal, without a box."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from monastery.runtime import recall, steps
from monastery.runtime.canonical import canonical
from monastery.runtime.desk import StoreDesk
from monastery.runtime.errors import BadInput
from monastery.runtime.events import ItemPosted, StepUnresolved
from monastery.runtime.heartbeat import Hop
from monastery.runtime.journal import Journal, Writer, check_chain
from monastery.runtime.owner import this_process
from monastery.runtime.project_file import Loaded
from monastery.runtime.records import Ending, Item, Step
from monastery.runtime.rows import PutItem, RunRow, SetStatus
from monastery.runtime.stops import begin, end
from monastery.runtime.store import Store
from monastery.runtime.story import SegmentStory, Story, tell

STOPPED = "the runtime stopped while the step was done"


def under_way(story: Story) -> SegmentStory | None:
    """Return the segment whose step was begun, and of which no outcome is recorded."""
    last = story.last
    if last is None or last.started_step is None or last.completed is not None:
        return None
    return last


async def ask_what_became(
    store: Store, row: RunRow, loaded: Loaded, render: Callable[[str, bytes], str], hop: Hop
) -> Item:
    """Put the question what became of the step that was under way when the runtime died.

    Args:
        store: Where the run lies.
        row: The run; nobody runs it.
        loaded: Its project.
        render: Returns a payload of a kind as a reader sees it.
        hop: Runs a function that blocks.

    Raises:
        BadInput: No step was under way, or its executor finds out by itself.
        RunHeld: Somebody runs it.
    """
    told = under_way(tell(store, row.run))
    if told is None or told.started_step is None:
        raise BadInput(f"no step of run {row.run!r} has an unknown outcome")
    begun = told.started_step
    if loaded.project.steps[begun.kind].looks():
        raise BadInput(
            f"step {told.index} of run {row.run!r} is a {begun.kind!r}, which looks for itself what"
            " was done when the run goes on; a person is asked if it cannot tell"
        )
    decided = recall.decision(store, told)
    assert decided is not None, "a step is decided before it is begun"
    assert decided.payload is not None, "what nothing may be used of is not begun"
    step = Step(row.run, told.id, told.index, begun.kind, decided.payload, begun.key)
    item = steps.unknown(loaded.project, step, render(step.kind, step.payload), STOPPED)
    body = canonical(item.body)
    async with _tended(store, row, hop) as journal:
        if told.unresolved is None:
            journal.note(StepUnresolved(segment=told.id, reason=STOPPED))
        await journal.append(
            ItemPosted(item=item.id, purpose=item.purpose, body=journal.ref(body)),
            blobs=[body],
            changes=[PutItem(item), SetStatus("interrupted")],
        )
    return item


async def forget(store: Store, row: RunRow, loaded: Loaded, by: str, hop: Hop) -> None:
    """End a run for good: its questions are withdrawn, its seed is revealed.

    Raises:
        RunHeld: Somebody runs it.
    """
    story = tell(store, row.run)
    told, reason = under_way(story), f"forgotten by {by}"
    if told is not None and told.started_step is not None:
        kind = told.started_step.kind
        reason += f"; whether step {told.index} ({kind}) was done is not known"
    async with _tended(store, row, hop) as journal:
        if story.started is None:  # killed before its first event
            await begin(journal, story, row, loaded)
        await StoreDesk(row.run, store, journal).withdraw(row.run)
        await end(journal, row, Ending(False, reason))


@asynccontextmanager
async def _tended(store: Store, row: RunRow, hop: Hop) -> AsyncIterator[Journal]:
    """Have a run for the length of the block, to write into its journal."""
    check_chain(store, row)
    taken = store.claim(row.run, this_process())
    try:
        yield Journal(taken, Writer(store, hop), lambda record: None)
    finally:
        store.release(taken.run, taken.epoch)
