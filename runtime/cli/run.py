"""`monastery run`: starts a run, or goes on with one, and shows its progress."""

import shlex
import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import trio
import typer

from monastery.runtime import project_file
from monastery.runtime.cli import again, compose, many, output, summary
from monastery.runtime.cli.audit_seat import strangers
from monastery.runtime.cli.home import HomeOption, find, find_run
from monastery.runtime.cli.progress import Progress
from monastery.runtime.cli.runs import steps_over
from monastery.runtime.cli.stopping import INTERRUPTED, Stop, mind_signals
from monastery.runtime.display import visible_line
from monastery.runtime.errors import BadInput
from monastery.runtime.heartbeat import Keep, take
from monastery.runtime.journal import Record, records
from monastery.runtime.kernel_timer import KernelTimer
from monastery.runtime.owner import this_process
from monastery.runtime.ports import Desk
from monastery.runtime.project_file import Loaded
from monastery.runtime.rows import RunRow
from monastery.runtime.run import World
from monastery.runtime.runner import go, go_until_parked, new_run
from monastery.runtime.store import Store

PARKED = 4

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command(
    epilog="Examples: monastery run examples/repair/project.yaml; monastery run --resume last"
)
def run(
    projects: Annotated[
        list[Path] | None,
        typer.Argument(show_default=False, metavar="PROJECT", help="Project files."),
    ] = None,
    resume: Annotated[
        str | None,
        typer.Option(
            metavar="RUN",
            help="Go on with this run: its name, the beginning of it, or last; or with all.",
        ),
    ] = None,
    count: Annotated[
        int, typer.Option(metavar="N", min=1, help="So many runs of each project, at once.")
    ] = 1,
    boxes: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="With several runs: how many boxes may live at a time; the other runs wait. "
            "Default: by this machine's cores and memory.",
            show_default=False,
        ),
    ] = None,
    new: Annotated[
        bool, typer.Option("--new", help="Start afresh though a run of the project can go on.")
    ] = False,
    exit_when_parked: Annotated[
        bool,
        typer.Option(
            "--exit-when-parked",
            help="Exit with 4 when the run waits for people alone; monastery wake goes on with it.",
        ),
    ] = False,
    home: HomeOption = None,
    json: Annotated[
        bool,
        typer.Option("--json", help="Print one JSON object a run at the end, and nothing else."),
    ] = False,
) -> None:
    """Run a project, with progress; go on with a run that was stopped.

    Several projects, or several runs of each (--count), live at once in one process.

    Ctrl-C stops a run so that it can go on: exit code 130. A run that waits for people longer than
    its project says is parked: its box is closed until they have answered. When a run of the same
    project was stopped after its first proposal, a plain `run` does not start another one beside
    it: on a terminal it asks, elsewhere it exits with 2 and says both commands (--resume RUN,
    --new).
    """
    if not projects and resume is None:
        raise BadInput("no project: name a project file, or a run with --resume RUN")
    if resume is not None and (new or count > 1):
        raise BadInput(
            f"--resume and {'--new' if new else '--count'} exclude each other; leave one out"
        )
    if resume == "all":
        if projects:
            raise BadInput("--resume all takes no project; name the home with --home")
        raise typer.Exit(many.resume_all(home, recorded_project, boxes=boxes, quiet=json))
    if projects and len(projects) * count > 1:
        if resume is not None:
            raise BadInput(f"--resume {resume} takes one project at most, not {len(projects)}")
        stopped_run = (lambda store, loaded: None) if new else _stopped
        raise typer.Exit(
            many.start(projects, count, home=home, stopped=stopped_run, boxes=boxes, quiet=json)
        )
    project = projects[0] if projects else None
    if resume is not None:
        place = find(home, beside=None if project is None else project.parent.resolve())
        with Store.open(place, create=False) as store:
            row = find_run(store, resume)
            code = _resume(store, row, project, quiet=json, leaves=exit_when_parked)
    else:
        assert project is not None
        loaded = project_file.load(project)
        with Store.open(find(home, beside=loaded.folder)) as store:
            stopped = None if new else _stopped(store, loaded)
            if stopped is not None and _go_on(store, stopped, loaded):
                code = _resume(store, stopped, project, quiet=json, leaves=exit_when_parked)
            else:
                row = new_run(store, loaded)
                code = _live(store, row, loaded, quiet=json, leaves=exit_when_parked)
    raise typer.Exit(code)


def recorded_project(store: Store, row: RunRow) -> Loaded:
    """Return the project of a run as its journal recorded it; the file may be another by now.

    A run that was killed before its first event has recorded none: then the file is read.
    """
    for record in records(store, row.run):
        if record.event.type == "run.started":
            source = store.blob(record.event.project_file.ref)
            return project_file.parse(source, row.project_path)
    return project_file.load(row.project_path)


def _resume(store: Store, row: RunRow, project: Path | None, *, quiet: bool, leaves: bool) -> int:
    if project is not None and project.parent.resolve() / project.name != row.project_path:
        raise BadInput(f"run {row.run!r} is of {str(row.project_path)!r}, not of {str(project)!r}")
    loaded = recorded_project(store, row)
    taken = trio.run(partial(take, store, row.run, this_process(), say=output.note))
    return _live(store, taken, loaded, quiet=quiet, leaves=leaves)


def _stopped(store: Store, loaded: Loaded) -> RunRow | None:
    """Return the newest stopped or parked run of this project that got as far as a proposal."""
    ours = (row for row in store.runs() if row.project_path == loaded.path)
    for row in ours:
        if row.status not in ("interrupted", "parked") or store.held(row):
            continue
        if any(record.event.type == "proposal.frozen" for record in records(store, row.run)):
            return row
    return None


def _go_on(store: Store, row: RunRow, loaded: Loaded) -> bool:
    """Ask whether to go on with a stopped run; without a terminal, refuse to guess."""
    at = output.when(row.started)
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise BadInput(
            f"run {row.run!r} of this project, started {at}, was stopped and can go on:"
            f" {again.resume(store, row)}; or start afresh: monastery run --new"
            f" {shlex.quote(again.short(loaded.path))}"
        )
    output.note(f"Run {row.run} of this project, started {at}, was stopped and can go on.")
    return typer.confirm("Go on with it? (no starts afresh)", default=True, err=True)


def _live(store: Store, row: RunRow, loaded: Loaded, *, quiet: bool, leaves: bool) -> int:
    progress = None if quiet else Progress(store.blob, step=steps_over(store, row) + 1)
    if progress is not None:
        verb = "starts" if row.seq == 0 else "goes on"
        with output.unread_is_fine():
            output.line(f"run {row.run} {verb}: {loaded.project.name}, journal in {store.home}")
            output.line(f"goal: {visible_line(loaded.project.goal)}")
    for name in strangers(store.home, loaded):
        output.note(
            f"no account is named {name!r}, whom the project asks: until there is one, whoever is"
            " an auditor may answer; the page People of `monastery serve` takes them in"
        )
    stop = Stop()
    try:
        trio.run(_until_stopped, store.home, row, loaded, progress, stop, leaves)
    except BaseException:
        if store.run(row.run).status == "interrupted" and store.run(row.run).seq > 0:
            output.note(f"run {row.run} can go on: {again.resume(store, row)}")
        raise
    told = summary.read(store, row)
    with output.unread_is_fine():
        if quiet:
            output.as_json({**summary.figures(told), "home": str(store.home)})
        else:
            output.line()
            for text in summary.lines(told):
                output.line(text)
            output.line(f"details   monastery show {row.run}{again.home_option(store)}")
    if told.row.status == "parked":
        by = f"stopped by {stop.by}" if stop.by else "parked"
        home = again.home_option(store)
        output.note(
            f"{by}: the run waits for people (monastery audit list{home});"
            f" when they have answered, go on with: monastery wake{home}"
        )
        return INTERRUPTED if stop.by else PARKED
    if told.row.status == "interrupted":
        output.note(f"stopped by {stop.by}; go on with: {again.resume(store, row)}")
        return INTERRUPTED
    return 0 if told.row.status == "done" else 1


async def _until_stopped(
    home: Path, row: RunRow, loaded: Loaded, progress: Progress | None, stop: Stop, leaves: bool
) -> None:
    """Live a run to its end, or until a signal stops it."""

    def build(desk: Desk, calls: int) -> World:
        world = compose.world(loaded, desk, calls, sandbox=compose.sandbox(home), home=home)
        if progress is not None:
            progress.executors = world.executors
        return world

    def watch(record: Record) -> None:
        if progress is not None:
            progress.watch(record)

    live = go_until_parked if leaves else go
    keep = Keep(arm=KernelTimer().arm)
    async with trio.open_nursery() as nursery:
        scope = trio.CancelScope()
        await nursery.start(mind_signals, scope, stop)
        if progress is None:
            with scope:
                await live(home, row, loaded, build, watch, keep=keep)
        else:
            with progress.live():
                nursery.start_soon(progress.tick)
                with scope:
                    await live(home, row, loaded, build, watch, keep=keep)
        nursery.cancel_scope.cancel()
