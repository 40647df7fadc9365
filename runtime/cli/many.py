"""`monastery run` with several runs: which they are, how many boxes, and what came of them."""

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import trio

from monastery.runtime import project_file
from monastery.runtime.cli import compose, output, summary
from monastery.runtime.cli.home import VARIABLE, find
from monastery.runtime.cli.many_progress import ManyProgress
from monastery.runtime.cli.runs import standing
from monastery.runtime.cli.stopping import INTERRUPTED, Stop, mind_signals
from monastery.runtime.display import visible_line
from monastery.runtime.errors import BadInput, MonasteryError
from monastery.runtime.heartbeat import Keep
from monastery.runtime.kernel_timer import KernelTimer
from monastery.runtime.many import Job, Watcher, live_all
from monastery.runtime.ports import Desk
from monastery.runtime.project_file import Loaded
from monastery.runtime.rows import RunRow
from monastery.runtime.run import World
from monastery.runtime.runner import new_run
from monastery.runtime.store import Store

_BOXES_A_CORE = 4
_SHARE_OF_MEMORY = 0.75

Recorded = Callable[[Store, RunRow], Loaded]
"""Returns the project of a run as its journal recorded it."""


def start(
    projects: Sequence[Path],
    count: int,
    *,
    home: Path | None,
    stopped: Callable[[Store, Loaded], RunRow | None],
    boxes: int | None,
    quiet: bool,
) -> int:
    """Start `count` runs of each project, in one home; return the exit code.

    Args:
        projects: Project files.
        count: How many runs of each.
        home: What ``--home`` says.
        stopped: Finds a stopped run of a project, which is not to be started over by mistake.
        boxes: How many boxes may live at a time; None for what this machine can hold.
        quiet: Whether to print one JSON object for each run, and nothing else.

    Raises:
        BadInput: A project cannot be read, was stopped and can go on, or has another home.
    """
    loaded = [project_file.load(project) for project in projects]
    places = {find(home, beside=one.folder) for one in loaded}
    if len(places) > 1:
        raise BadInput(
            f"projects of {len(places)} folders, and each has a home of its own: name one for all,"
            f" with --home or ${VARIABLE}"
        )
    with Store.open(places.pop()) as store:
        for one in loaded:
            found = stopped(store, one)
            if found is not None:
                raise BadInput(
                    f"run {found.run!r} of {str(one.path)!r} was stopped and can go on:"
                    " monastery run --resume all; or start afresh with --new"
                )
        jobs = []
        for _ in range(count):
            for one in loaded:
                row = new_run(store, one)
                store.release(row.run, row.epoch)  # whoever admits it takes it
                jobs.append(Job(row.run, partial(_given, one)))
        return _live(store, jobs, boxes or default_boxes(loaded), quiet=quiet)


def _given(loaded: Loaded) -> Loaded:
    return loaded


def resume_all(home: Path | None, recorded: Recorded, *, boxes: int | None, quiet: bool) -> int:
    """Go on with every run of a home that was stopped or has not begun; return the exit code.

    Raises:
        BadInput: There is none.
    """
    with Store.open(find(home), create=False) as store:
        rows = [row for row in reversed(store.runs()) if row.status == "interrupted"]
        if not rows:
            raise BadInput(f"no run in {str(store.home)!r} can go on; `monastery runs` lists them")
        jobs = [Job(row.run, partial(recorded, store, row)) for row in rows]
        return _live(store, jobs, boxes or default_boxes([]), quiet=quiet)


def default_boxes(loaded: Sequence[Loaded]) -> int:
    """Return how many boxes this machine can hold: by its cores, and by the largest's memory.

    Agents mostly wait for their models, so there are some for each core.
    """
    cores = os.cpu_count() or 1
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    largest = max((one.project.box.memory for one in loaded), default=1 << 30)
    return max(1, min(cores * _BOXES_A_CORE, int(memory * _SHARE_OF_MEMORY) // largest))


def _live(store: Store, jobs: list[Job], boxes: int, *, quiet: bool) -> int:
    progress = None if quiet else ManyProgress(jobs)
    if progress is not None:
        progress.say(f"{len(jobs)} runs, at most {boxes} boxes at a time, journal in {store.home}")
    stop = Stop()
    trio.run(_until_stopped, store.home, jobs, boxes, progress, stop)
    with output.unread_is_fine():
        for job in jobs:
            if quiet:
                output.line(output.compact_json(_figures(store, job)))
        if progress is not None:
            for line in progress.totals():
                output.line(line)
    for job in jobs:
        if job.broke is not None:
            output.note(visible_line(f"monastery: {job.run}: {_told(job.broke)}", max_columns=None))
    if any(store.run(job.run).status == "interrupted" for job in jobs):
        by = f"stopped by {stop.by}; " if stop.by else ""
        output.note(f"{by}go on with: monastery run --resume all --home {store.home}")
    return INTERRUPTED if stop.by else max(_code(job) for job in jobs)


async def _until_stopped(
    home: Path, jobs: list[Job], boxes: int, progress: ManyProgress | None, stop: Stop
) -> None:
    """Live all runs to their ends, or until a signal stops them."""
    sandbox = compose.sandbox(home)

    def build(loaded: Loaded, desk: Desk, calls: int) -> World:
        return compose.world(loaded, desk, calls, sandbox=sandbox, home=home)

    watcher = Watcher() if progress is None else progress.watcher
    live = partial(live_all, keep=Keep(arm=KernelTimer().arm))
    async with trio.open_nursery() as nursery:
        scope = trio.CancelScope()
        await nursery.start(mind_signals, scope, stop)
        if progress is None:
            with scope:
                await live(home, jobs, build, boxes=boxes, watcher=watcher)
        else:
            with progress.live():
                nursery.start_soon(progress.tick)
                with scope:
                    await live(home, jobs, build, boxes=boxes, watcher=watcher)
        nursery.cancel_scope.cancel()


def _figures(store: Store, job: Job) -> dict[str, Any]:
    told = summary.figures(summary.read(store, store.run(job.run)))
    broke = None if job.broke is None else _told(job.broke)
    return told | {"status": standing(store.run(job.run)), "broke": broke, "home": str(store.home)}


def _told(broke: Exception) -> str:
    return str(broke) if isinstance(broke, MonasteryError) else f"{type(broke).__name__}: {broke}"


def _code(job: Job) -> int:
    """Return what the run alone would have exited with."""
    if job.broke is not None:
        return job.broke.exit_code if isinstance(job.broke, MonasteryError) else 1
    return 0 if job.ending is not None and job.ending.success else 1
