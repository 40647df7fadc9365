"""How a run starts, stops and ends, as its journal tells it."""

from typing import Literal

import structlog
import trio

from monastery.runtime import events
from monastery.runtime.draw import commitment
from monastery.runtime.errors import (
    BoxError,
    FreezeFailed,
    GuestMisbehaved,
    LimitExceeded,
    StoreError,
)
from monastery.runtime.events import RunEnded, RunInterrupted, RunResumed, RunStarted, SeedRevealed
from monastery.runtime.journal import Journal
from monastery.runtime.project_file import Loaded
from monastery.runtime.records import Ending
from monastery.runtime.rows import RunRow, SetStatus
from monastery.runtime.run import next_segment
from monastery.runtime.story import Story
from monastery.runtime.version import VERSION

log = structlog.get_logger()

_LAST_WORDS_SECONDS = 10.0


async def begin(journal: Journal, story: Story, row: RunRow, loaded: Loaded) -> None:
    """Record that the run starts, or that it goes on."""
    if story.started is not None:
        await journal.append(RunResumed(version=VERSION), changes=[SetStatus("running")])
        return
    await journal.append(
        RunStarted(
            project=loaded.project.name,
            project_file=journal.ref(loaded.source),
            commitment=commitment(row.seed),
            version=VERSION,
        ),
        next_segment(row.run, 1),
        blobs=[loaded.source],
        checkpoint=True,
    )


def death(broke: BoxError) -> events.BoxDied:
    """Return the event that tells how a box broke; it is written with the stop or the end."""
    how: Literal["died", "not frozen", "misbehaved", "limit exceeded"] = "died"
    if isinstance(broke, FreezeFailed):
        how = "not frozen"
    elif isinstance(broke, GuestMisbehaved):
        how = "misbehaved"
    elif isinstance(broke, LimitExceeded):
        how = "limit exceeded"
    return events.BoxDied(how=how, reason=str(broke), out_of_memory=broke.out_of_memory)


async def stop(journal: Journal, reason: str, broke: Exception | None) -> None:
    """Record that the run stopped and can go on, if the journal can still be written."""
    with trio.move_on_after(_LAST_WORDS_SECONDS, shield=True):
        try:
            await journal.append(
                RunInterrupted(reason=reason), changes=[SetStatus("interrupted")], checkpoint=True
            )
        except StoreError as exc:
            if isinstance(broke, StoreError):  # which says it already
                log.info("journal.failed", reason=str(exc))
            else:
                log.error("journal.failed", reason=str(exc))


async def end(journal: Journal, row: RunRow, ending: Ending) -> None:
    """Record the end, and reveal the seed: no draw can follow."""
    await journal.append(
        SeedRevealed(seed=row.seed.hex()),
        RunEnded(success=ending.success, reason=ending.reason),
        changes=[SetStatus("done" if ending.success else "failed")],
        checkpoint=True,
    )
