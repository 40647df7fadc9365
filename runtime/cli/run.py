"""`monastery run`: starts a run, or goes on with one, and shows its progress."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import trio
import typer

from monastery.runtime import project_file
from monastery.runtime.cli import compose, many, output, summary
from monastery.runtime.cli.home import HomeOption, find, find_run
from monastery.runtime.cli.progress import Progress
from monastery.runtime.cli.runs import steps_over
from monastery.runtime.cli.stopping import INTERRUPTED, Stop, mind_signals
from monastery.runtime.display import visible_line
from monastery.runtime.errors import BadInput
from monastery.runtime.journal import Record, records
from monastery.runtime.owner import this_process
from monastery.runtime.ports import Desk
from monastery.runtime.project_file import Loaded
from monastery.runtime.run import World
from monastery.runtime.runner import go, new_run
from monastery.runtime.store import RunRow, Store

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
    home: HomeOption = None,
    json: Annotated[
        bool,
        typer.Option("--json", help="Print one JSON object a run at the end, and nothing else."),
    ] = False,
) -> None:
    """Run a project, with progress; go on with a run that was stopped.

    Several projects, or several runs of each (--count), live at once in one process.

    Ctrl-C stops a run so that it can go on: exit code 130. When a run of the same project was
    stopped after its first proposal, a plain `run` does not start another one beside it: on a
    terminal it asks, elsewhere it exits with 2 and says both commands (--resume RUN, --new).
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
        raise typer.Exit(many.resume_all(home, _recorded_project, boxes=boxes, quiet=json))
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
            code = _resume(store, find_run(store, resume), project, quiet=json)
    else:
        assert project is not None
        loaded = project_file.load(project)
        with Store.open(find(home, beside=loaded.folder)) as store:
            stopped = None if new else _stopped(store, loaded)
            if stopped is not None and _go_on(store, stopped, loaded):
                code = _resume(store, stopped, project, quiet=json)
            else:
                code = _live(store, new_run(store, loaded), loaded, quiet=json)
    raise typer.Exit(code)


def _recorded_project(store: Store, row: RunRow) -> Loaded:
    """Return the project of a run as its journal recorded it; the file may be another by now.

    A run that was killed before its first event has recorded none: then the file is read.
    """
    for record in records(store, row.run):
        if record.event.type == "run.started":
            source = store.blob(record.event.project_file.ref)
            return project_file.parse(source, row.project_path)
    return project_file.load(row.project_path)


def _resume(store: Store, row: RunRow, project: Path | None, *, quiet: bool) -> int:
    if project is not None and project.parent.resolve() / project.name != row.project_path:
        raise BadInput(f"run {row.run!r} is of {str(row.project_path)!r}, not of {str(project)!r}")
    loaded = _recorded_project(store, row)
    return _live(store, store.claim(row.run, this_process()), loaded, quiet=quiet)


def _stopped(store: Store, loaded: Loaded) -> RunRow | None:
    """Return the newest interrupted run of this project that got as far as a proposal."""
    ours = (row for row in store.runs() if row.project_path == loaded.path)
    for row in ours:
        if row.status == "interrupted" and any(
            record.event.type == "proposal.frozen" for record in records(store, row.run)
        ):
            return row
    return None


def _go_on(store: Store, row: RunRow, loaded: Loaded) -> bool:
    """Ask whether to go on with a stopped run; without a terminal, refuse to guess."""
    at = output.when(row.started)
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise BadInput(
            f"run {row.run!r} of this project, started {at}, was stopped and can go on:"
            f" {_again(store, row)}; or start afresh: monastery run --new"
            f" {shlex.quote(_short(loaded.path))}"
        )
    output.note(f"Run {row.run} of this project, started {at}, was stopped and can go on.")
    return typer.confirm("Go on with it? (no starts afresh)", default=True, err=True)


def _live(store: Store, row: RunRow, loaded: Loaded, *, quiet: bool) -> int:
    progress = None if quiet else Progress(store.blob, step=steps_over(store, row) + 1)
    if progress is not None:
        verb = "starts" if row.seq == 0 else "goes on"
        with output.unread_is_fine():
            output.line(f"run {row.run} {verb}: {loaded.project.name}, journal in {store.home}")
            output.line(f"goal: {visible_line(loaded.project.goal)}")
    stop = Stop()
    try:
        trio.run(_until_stopped, store.home, row, loaded, progress, stop)
    except BaseException:
        if store.run(row.run).status == "interrupted" and store.run(row.run).seq > 0:
            output.note(f"run {row.run} can go on: {_again(store, row)}")
        raise
    told = summary.read(store, row)
    with output.unread_is_fine():
        if quiet:
            output.as_json({**summary.figures(told), "home": str(store.home)})
        else:
            output.line()
            for text in summary.lines(told):
                output.line(text)
            output.line(f"details   monastery show {row.run}{_home(store)}")
    if told.row.status == "interrupted":
        output.note(f"stopped by {stop.by}; go on with: {_again(store, row)}")
        return INTERRUPTED
    return 0 if told.row.status == "done" else 1


async def _until_stopped(
    home: Path, row: RunRow, loaded: Loaded, progress: Progress | None, stop: Stop
) -> None:
    """Live a run to its end, or until a signal stops it."""

    def build(desk: Desk, calls: int) -> World:
        world = compose.world(loaded, desk, calls)
        if progress is not None:
            progress.executors = world.executors
        return world

    def watch(record: Record) -> None:
        if progress is not None:
            progress.watch(record)

    async with trio.open_nursery() as nursery:
        scope = trio.CancelScope()
        await nursery.start(mind_signals, scope, stop)
        if progress is None:
            with scope:
                await go(home, row, loaded, build, watch)
        else:
            with progress.live():
                nursery.start_soon(progress.tick)
                with scope:
                    await go(home, row, loaded, build, watch)
        nursery.cancel_scope.cancel()


def _again(store: Store, row: RunRow) -> str:
    return f"monastery run --resume {row.run}{_home(store)}"


def _home(store: Store) -> str:
    """Return the option that finds this home from here, if one is needed."""
    if find().resolve() == store.home.resolve():
        return ""
    return f" --home {shlex.quote(_short(store.home))}"


def _short(path: Path) -> str:
    """Return a path as one writes it from here."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
