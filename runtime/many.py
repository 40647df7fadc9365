"""Many runs in one process: admitted in order, each with a berth while it has a box.

One writer serves them all, so that what they record at the same time shares a flush. A run that
waits for its berth costs nothing: it is claimed and read when it is admitted. What breaks one run
is noted with it and leaves the others alone.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import structlog
import trio

from monastery.runtime.errors import MonasteryError
from monastery.runtime.heartbeat import Keep, take
from monastery.runtime.journal import Hop, Record, Writer
from monastery.runtime.owner import this_process
from monastery.runtime.ports import Box, Desk, Sandbox
from monastery.runtime.project_file import Loaded
from monastery.runtime.records import BoxSpec, Ending, RunId
from monastery.runtime.run import World
from monastery.runtime.runner import cause, go_with
from monastery.runtime.store import Store

log = structlog.get_logger()


@dataclass(slots=True, eq=False)
class Job:
    """One of many runs, which nobody owns until it is admitted.

    Attributes:
        load: Returns its project.
        state: Whether it waits for its first berth, is being lived, or is no more.
        ending: How it ended; None when it was stopped or broke.
        broke: What broke it.
    """

    run: RunId
    load: Callable[[], Loaded]
    state: Literal["waiting", "living", "over"] = "waiting"
    ending: Ending | None = None
    broke: Exception | None = None


_KEEP = Keep()
_GoOn = Callable[..., Awaitable[Ending]]

BuildOne = Callable[[Loaded, Desk, int], World]
"""Makes a run's adapters, given its project, its desk, and how many calls reached its policy."""


@dataclass(frozen=True, slots=True)
class Watcher:
    """Who is told of what happens; must not block or raise.

    Attributes:
        event: Told of every event of a job when it is durable.
        state: Told when a job's state has changed.
        built: Told of a job's adapters when they are made.
    """

    event: Callable[[Job, Record], None] = lambda job, record: None
    state: Callable[[Job], None] = lambda job: None
    built: Callable[[Job, World], None] = lambda job, world: None


async def live_all(
    home: Path,
    jobs: Sequence[Job],
    build: BuildOne,
    *,
    boxes: int,
    watcher: Watcher,
    hop: Hop = trio.to_thread.run_sync,
    keep: Keep | None = _KEEP,
    store: type[Store] = Store,
) -> None:
    """Live all runs, each to its end or to what breaks it; when cancelled, all can be resumed.

    Args:
        home: Where they lie, all of them.
        jobs: The runs, admitted in this order.
        build: Makes the adapters of one.
        boxes: How many boxes may live at a time; forks in which auditors look are not counted.
        watcher: Told of what happens.
        hop: Runs a function that blocks.
        keep: How their leases are kept; None keeps none, where time is virtual.
        store: Opens the home.
    """
    berths = trio.Semaphore(boxes)
    with store.open(home) as writing, store.open(home) as reading:
        writer = Writer(writing, hop)
        go_on = partial(go_with, writer, reading, hop=hop, keep=keep)
        async with trio.open_nursery() as nursery:
            for job in jobs:
                berth = Berth(berths)
                # Here and not in the tasks, which start in no order. A run that wants its berth
                # back stands behind the one run that is next, and no other.
                await berth.take()
                nursery.start_soon(_live, job, berth, go_on, reading, build, watcher)


async def _live(
    job: Job, berth: "Berth", go_on: _GoOn, store: Store, build: BuildOne, watcher: Watcher
) -> None:
    """Live one run; keep what breaks it."""

    def build_one(loaded: Loaded, desk: Desk, calls: int) -> World:
        world = build(loaded, desk, calls)
        watcher.built(job, world)
        return replace(world, sandbox=BerthedSandbox(world.sandbox, berth))

    try:
        loaded = job.load()
        row = await take(store, job.run, this_process(), say=partial(_say, job))
        job.state = "living"
        watcher.state(job)
        job.ending = await go_on(
            row, loaded, partial(build_one, loaded), partial(watcher.event, job)
        )
    except Exception as exc:  # noqa: BLE001 - whatever broke one run is told, and stays there
        _note(job, exc)
    except BaseExceptionGroup as group:  # of what broke, and of the stop that came meanwhile
        broke, stopped = group.split(Exception)
        if broke is not None:
            _note(job, broke)
        assert stopped is not None
        raise stopped from None
    finally:
        berth.leave()
        job.state = "over"
        watcher.state(job)


def _say(job: Job, text: str) -> None:
    log.info("run.waits", run=job.run, reason=text)


def _note(job: Job, exc: Exception) -> None:
    """Keep what broke a run; what is no error of the house is a fault of ours, and logged whole."""
    job.broke = cause(exc)
    if not isinstance(job.broke, MonasteryError):
        log.error("run.broke", run=job.run, exc_info=exc)


class Berth:
    """A run's place among the boxes that may live at a time; first come, first served."""

    def __init__(self, berths: trio.Semaphore) -> None:
        self._berths, self._taken = berths, False

    async def take(self) -> None:
        """Wait for a place, unless it has one."""
        if not self._taken:
            await self._berths.acquire()
            self._taken = True

    def leave(self) -> None:
        """Let the next one have it."""
        if self._taken:
            self._taken = False
            self._berths.release()


class BerthedSandbox:
    """Opens boxes only in a berth, and gives it up while there is no box."""

    def __init__(self, sandbox: Sandbox, berth: Berth) -> None:
        self._sandbox, self._berth = sandbox, berth
        self.forget, self.reap = sandbox.forget, sandbox.reap

    @asynccontextmanager
    async def open(self, run: RunId, spec: BoxSpec) -> AsyncIterator[Box]:
        """Open a box when there is room for it."""
        await self._berth.take()
        try:
            async with self._sandbox.open(run, spec) as box:
                yield box
        finally:
            self._berth.leave()
