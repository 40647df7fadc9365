"""Running a run: from a project, or from the middle of one, to its end or its next stop."""

import math
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import structlog
import trio

from monastery.runtime import audits, events, parking, recall
from monastery.runtime.agent import kind_told
from monastery.runtime.desk import StoreDesk
from monastery.runtime.draw import new_seed
from monastery.runtime.errors import (
    BadInput,
    BoxError,
    BoxLost,
    EngineUnavailable,
    FreezeFailed,
    GuestMisbehaved,
    LimitExceeded,
    MonasteryError,
    StoreError,
)
from monastery.runtime.events import (
    RunParked,
)
from monastery.runtime.heartbeat import Keep, kept
from monastery.runtime.journal import Hop, Journal, Record, Writer, check_chain
from monastery.runtime.loop import audit_later, live
from monastery.runtime.owner import this_process
from monastery.runtime.past import read_past
from monastery.runtime.ports import Desk
from monastery.runtime.project import ImageSettings, Project
from monastery.runtime.project_file import Loaded
from monastery.runtime.records import BoxLimits, BoxSpec, Draw, EarlierStep, Ending, Packages, RunId
from monastery.runtime.rows import RunRow
from monastery.runtime.run import Run, World
from monastery.runtime.stops import begin, death, end, stop
from monastery.runtime.store import Store
from monastery.runtime.story import Story

log = structlog.get_logger()

Build = Callable[[Desk, int], World]
"""Makes a run's adapters, given its desk and how many of its model calls reached the policy."""

Watch = Callable[[Record], None]
"""Told of every event when it is durable; must not block or raise."""

_ENGINE_SECONDS = 120.0
"""How long a run waits for an engine that went away under its box."""
_ENGINE_POLL_SECONDS = 0.5
_KEEP = Keep()


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
        image=box.image if isinstance(box.image, str) else box.image.base,
        limits=BoxLimits(
            memory_bytes=box.memory,
            cpus=box.cpus,
            pids=box.pids,
            disk_bytes=box.disk,
            think_seconds=box.think_seconds,
            transcript_bytes=box.transcript,
            payload_bytes=box.payload,
            alone_seconds=box.alone_seconds,
            snapshot_seconds=box.snapshot_seconds,
        ),
        files=tuple((one.to, str(folder / one.source)) for one in box.files),
        engine_runtime=box.runtime,
        waive=tuple(box.waive),
        gateway=project.policy is not None,
        packages=_packages(box.image),
        web=project.cached_web is not None,
        steps=tuple((kind, kind_told(kind, one)) for kind, one in project.steps.items()),
    )


def _packages(image: str | ImageSettings) -> Packages | None:
    if isinstance(image, str) or not (image.debian or image.pip):
        return None
    return Packages(tuple(image.debian), tuple(image.pip))


async def go(
    home: Path,
    row: RunRow,
    loaded: Loaded,
    build: Build,
    watch: Watch,
    *,
    hop: Hop = trio.to_thread.run_sync,
    keep: Keep | None = _KEEP,
) -> Ending:
    """Live a run that this process owns, from its beginning or from its middle, to its end.

    While it waits for people alone, longer than its project says, it does so without a box. When it
    is cancelled, or the world breaks, the journal says so and the run can be resumed. A box that
    could not be held ends the run.

    Args:
        home: Where the run lies.
        row: The run, as this process claimed it.
        loaded: Its project.
        build: Makes its adapters.
        watch: Told of its events.
        hop: Runs a function that blocks.
        keep: How its lease is kept; None keeps none, where time is virtual.

    Raises:
        MonasteryError: The run could not go on; perhaps inside an exception group.
    """
    with Store.open(home) as writing, Store.open(home) as reading:
        return await go_with(
            Writer(writing, hop), reading, row, loaded, build, watch, hop=hop, keep=keep
        )


async def go_with(
    writer: Writer,
    store: Store,
    row: RunRow,
    loaded: Loaded,
    build: Build,
    watch: Watch,
    *,
    hop: Hop,
    keep: Keep | None,
) -> Ending:
    """Live one of several runs of this process, which share a writer and a store; see `go`.

    Args:
        store: Not the writer's, which may be used in a thread.
    """
    async with _owned(store, row, hop, keep):
        while True:
            ending = await _go(writer, store, store.run(row.run), loaded, build, watch)
            if ending is not None:
                return ending
            await parking.until_ready(store, row.run)


async def go_until_parked(
    home: Path,
    row: RunRow,
    loaded: Loaded,
    build: Build,
    watch: Watch,
    *,
    hop: Hop = trio.to_thread.run_sync,
    keep: Keep | None = _KEEP,
) -> Ending | None:
    """Live a run as `go` does; give it up when it is parked, and return None then."""
    with Store.open(home) as writing, Store.open(home) as store:
        writer = Writer(writing, hop)
        async with _owned(store, row, hop, keep):
            while True:
                now = store.run(row.run)
                ending = await _go(
                    writer, store, now, loaded, build, watch, leaves_when_parked=True
                )
                if ending is not None or store.run(row.run).status == "parked":
                    return ending


@asynccontextmanager
async def _owned(store: Store, row: RunRow, hop: Hop, keep: Keep | None) -> AsyncIterator[None]:
    """Keep a run's lease for the length of the block, and give the run up at the end."""
    try:
        if keep is None:
            yield
        else:
            async with kept(store.home, row, keep, hop):
                yield
    finally:
        try:
            store.release(row.run, row.epoch)
        except StoreError as exc:  # this process's end gives it up too
            log.info("run.not_released", run=row.run, reason=str(exc))


async def _go(
    writer: Writer,
    store: Store,
    row: RunRow,
    loaded: Loaded,
    build: Build,
    watch: Watch,
    *,
    leaves_when_parked: bool = False,
) -> Ending | None:
    """Live a run from wherever its journal stands; None when it was parked."""
    check_chain(store, row)
    past = read_past(store, row.run)
    story = past.story

    def told(record: Record) -> None:
        story.take(record)
        log.debug(record.event.type, run=row.run, seq=record.seq)
        watch(record)

    journal = Journal(row, writer, told)
    desk = StoreDesk(row.run, store, journal)
    world = build(desk, story.spent.calls)
    await begin(journal, story, row, loaded)
    ended, ending = _agent_ended(story), None
    try:
        await world.sandbox.reap(partial(_is_not_over, store))
        async with trio.open_nursery() as around:
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
                around.start_soon(
                    parking.watch,
                    run,
                    desk,
                    # Without a box, to wait here costs as little as to be parked.
                    lambda: ended is not None and leaves_when_parked,
                    around.cancel_scope,
                    loaded.project.audit.park_after_seconds,
                )
                await _take_up_deferred(run, past.deferred)
                if ended is None:
                    ended = await live_on(run, spec_of(loaded.project, loaded.folder))
            ending = ended
            around.cancel_scope.cancel()
        if ending is None:
            await parking.park(journal, store, ended)
            return None
        await world.sandbox.forget(row.run)
    except BaseException as exc:
        broke = cause(exc)
        if isinstance(broke, BoxError):
            journal.note(death(broke))
        if not isinstance(broke, FreezeFailed | GuestMisbehaved | LimitExceeded):
            await stop(journal, "it was stopped" if broke is None else str(broke), broke)
            raise
        ending = Ending(False, str(broke))
    finally:
        await world.close()
    await desk.withdraw(row.run)
    await end(journal, row, ending)
    return ending


async def live_on(run: Run, spec: BoxSpec) -> Ending:
    """Live a run to its end; when only the way to its box broke off, wait for the engine and go on.

    An engine that is restarted leaves its boxes alive (``live-restore``) or ends them: the run goes
    on in the same box or in a new one.

    Raises:
        MonasteryError: See `live`; and when the engine does not come back.
    """
    gives_up = -math.inf
    while True:
        boxes = len(run.story.boxes)
        try:
            return await live(run, spec)
        except Exception as exc:
            broke = cause(exc)
            if not isinstance(broke, BoxLost | EngineUnavailable):
                raise
            if len(run.story.boxes) > boxes:
                run.journal.note(events.BoxDied(how="lost", reason=str(broke), out_of_memory=False))
                log.warning("box.lost", run=run.id, reason=str(broke))
                gives_up = trio.current_time() + _ENGINE_SECONDS
            if trio.current_time() > gives_up:
                raise
        run = replace(run, delivery=trio.Lock())  # the frozen box had it
        await trio.sleep(_ENGINE_POLL_SECONDS)


def _is_not_over(store: Store, run: RunId) -> bool:
    """Whether a box that lived on may be needed: its run is in this home, and can go on."""
    try:
        return store.run(run).status not in ("done", "failed")
    except BadInput:
        return False


def _agent_ended(story: Story) -> Ending | None:
    """Return how the agent ended in a run that was parked after that: it is not started again."""
    for one in story.stops:
        if isinstance(one, RunParked) and one.ended is not None:
            return Ending(one.ended.success, one.ended.reason)
    return None


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


def cause(exc: BaseException) -> Exception | None:
    """Return the error in an exception or group, ours first; None when it was only stopped."""
    if isinstance(exc, BaseExceptionGroup):
        found = [cause(one) for one in exc.exceptions]
        errors = [one for one in found if one is not None]
        return next(
            (one for one in errors if isinstance(one, MonasteryError)), next(iter(errors), None)
        )
    return exc if isinstance(exc, Exception) else None
