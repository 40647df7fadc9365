"""Running a run: from a project, or from the middle of one, to its end or its next stop."""

import secrets
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import structlog
import trio

from monastery.runtime import audits, events, recall
from monastery.runtime.desk import StoreDesk
from monastery.runtime.draw import commitment, new_seed
from monastery.runtime.errors import (
    BadInput,
    BoxError,
    FreezeFailed,
    GuestMisbehaved,
    LimitExceeded,
    MonasteryError,
    StoreError,
)
from monastery.runtime.events import RunEnded, RunInterrupted, RunResumed, RunStarted, SeedRevealed
from monastery.runtime.journal import Hop, Journal, Record, Writer, check_chain
from monastery.runtime.loop import audit_later, live
from monastery.runtime.owner import this_process
from monastery.runtime.past import read_past
from monastery.runtime.ports import Desk
from monastery.runtime.project import Project
from monastery.runtime.project_file import Loaded
from monastery.runtime.records import BoxLimits, BoxSpec, Draw, EarlierStep, Ending, RunId
from monastery.runtime.run import Run, World, next_segment
from monastery.runtime.store import RunRow, SetStatus, Store
from monastery.runtime.story import Story
from monastery.runtime.version import VERSION

log = structlog.get_logger()

Build = Callable[[Desk, int], World]
"""Makes a run's adapters, given its desk and how many model calls its journal holds."""

Watch = Callable[[Record], None]
"""Told of every event when it is durable; must not block or raise."""

_LAST_WORDS_SECONDS = 10.0


def new_run(store: Store, loaded: Loaded) -> RunRow:
    """Make a run of a project, owned by this process, with an empty journal."""
    return store.create_run(
        _free_name(store, loaded.project.name),
        project=loaded.project.name,
        project_path=loaded.path,
        owner=this_process(),
        seed=new_seed(),
    )


def _free_name(store: Store, project: str) -> RunId:
    """Return a name that no run has: of a hundred made in one second, two would often have one."""
    while True:
        now = datetime.now(UTC)
        run = RunId(f"{project}-{now:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}")
        try:
            store.run(run)
        except BadInput:
            return run


def spec_of(project: Project, folder: Path) -> BoxSpec:
    """Return what a project's box is made of."""
    box = project.box
    return BoxSpec(
        image=box.image,
        limits=BoxLimits(
            memory_bytes=box.memory,
            cpus=box.cpus,
            pids=box.pids,
            disk_bytes=box.disk,
            think_seconds=box.think_seconds,
            transcript_bytes=box.transcript,
            payload_bytes=box.payload,
        ),
        files=tuple((one.to, str(folder / one.source)) for one in box.files),
        engine_runtime=box.runtime,
        waive=tuple(box.waive),
    )


async def go(
    home: Path,
    row: RunRow,
    loaded: Loaded,
    build: Build,
    watch: Watch,
    *,
    hop: Hop = trio.to_thread.run_sync,
) -> Ending:
    """Live a run that this process owns, from its beginning or from its middle, to its end.

    When it is cancelled, or the world breaks, the journal says so and the run can be resumed. A box
    that could not be held ends the run.

    Raises:
        MonasteryError: The run could not go on; perhaps inside an exception group.
    """
    with Store.open(home) as writing, Store.open(home) as reading:
        return await go_with(Writer(writing, hop), reading, row, loaded, build, watch)


async def go_with(
    writer: Writer, store: Store, row: RunRow, loaded: Loaded, build: Build, watch: Watch
) -> Ending:
    """Live one of several runs of this process, which share a writer and a store; see `go`.

    Args:
        store: Not the writer's, which may be used in a thread.
    """
    try:
        return await _go(writer, store, row, loaded, build, watch)
    finally:
        store.release(row.run, row.epoch)


async def _go(
    writer: Writer, store: Store, row: RunRow, loaded: Loaded, build: Build, watch: Watch
) -> Ending:
    check_chain(store, row)
    past = read_past(store, row.run)
    story = past.story

    def told(record: Record) -> None:
        story.take(record)
        log.debug(record.event.type, run=row.run, seq=record.seq)
        watch(record)

    journal = Journal(row, writer, told)
    desk = StoreDesk(row.run, store, journal)
    world = build(desk, story.call_count)
    await _begin(journal, story, row, loaded)
    try:
        await world.sandbox.reap()
        async with journal.checkpointed(), trio.open_nursery() as later:
            run = Run(
                id=row.run,
                project=loaded.project,
                seed=row.seed,
                journal=journal,
                store=store,
                story=story,
                desk=desk,
                world=world,
                later=later,
                earlier=past.earlier,
            )
            await _take_up_deferred(run, past.deferred)
            ending = await live(run, spec_of(loaded.project, loaded.folder))
        await world.sandbox.forget(row.run)
    except BaseException as exc:
        broke = cause(exc)
        if isinstance(broke, BoxError):
            journal.note(_death(broke))
        if not isinstance(broke, FreezeFailed | GuestMisbehaved | LimitExceeded):
            await _stop(journal, "it was stopped" if broke is None else str(broke))
            raise
        ending = Ending(False, str(broke))
    await _end(journal, row, ending)
    return ending


async def _begin(journal: Journal, story: Story, row: RunRow, loaded: Loaded) -> None:
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


async def _take_up_deferred(run: Run, deferred: Mapping[str, tuple[EarlierStep, ...]]) -> None:
    """Go on waiting for the deferred audits that were drawn before a stop."""
    for segment, earlier in deferred.items():
        told = run.story.by_id[segment]
        proposal = recall.proposal(run.store, told)
        assert proposal is not None
        assert told.drawn is not None
        drawn = Draw(told.drawn.u, told.drawn.probability)
        case = await audits.show(run, proposal, earlier)
        run.later.start_soon(audit_later, run, case, drawn)


def _death(broke: BoxError) -> events.BoxDied:
    """Return the event that tells how a box broke; it is written with the stop or the end."""
    how: Literal["died", "not frozen", "misbehaved", "limit exceeded"] = "died"
    if isinstance(broke, FreezeFailed):
        how = "not frozen"
    elif isinstance(broke, GuestMisbehaved):
        how = "misbehaved"
    elif isinstance(broke, LimitExceeded):
        how = "limit exceeded"
    return events.BoxDied(how=how, reason=str(broke), out_of_memory=broke.out_of_memory)


async def _stop(journal: Journal, reason: str) -> None:
    """Record that the run stopped and can go on, if the journal can still be written."""
    with trio.move_on_after(_LAST_WORDS_SECONDS, shield=True):
        try:
            await journal.append(
                RunInterrupted(reason=reason), changes=[SetStatus("interrupted")], checkpoint=True
            )
        except StoreError as exc:
            log.error("journal.failed", reason=str(exc))


async def _end(journal: Journal, row: RunRow, ending: Ending) -> None:
    """Record the end, and reveal the seed: no draw can follow."""
    await journal.append(
        SeedRevealed(seed=row.seed.hex()),
        RunEnded(success=ending.success, reason=ending.reason),
        changes=[SetStatus("done" if ending.success else "failed")],
        checkpoint=True,
    )


def cause(exc: BaseException) -> Exception | None:
    """Return the error in an exception or group, ours first; None when it was only stopped."""
    if isinstance(exc, BaseExceptionGroup):
        found = [cause(one) for one in exc.exceptions]
        errors = [one for one in found if one is not None]
        return next(
            (one for one in errors if isinstance(one, MonasteryError)), next(iter(errors), None)
        )
    return exc if isinstance(exc, Exception) else None
