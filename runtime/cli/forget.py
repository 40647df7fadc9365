"""`monastery forget`: ends a stopped run for good, and removes its box's files."""

import sys
from typing import Annotated

import trio
import typer

from monastery.runtime import tend
from monastery.runtime.cli import audit_answers, compose, output, summary
from monastery.runtime.cli.home import HomeOption, RunArgument, find_run, open_store
from monastery.runtime.cli.run import recorded_project
from monastery.runtime.errors import BadInput, RunHeld
from monastery.runtime.owner import told
from monastery.runtime.rows import RunRow
from monastery.runtime.store import Store

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command(
    epilog="Example: monastery forget last --yes. Exit codes: 0 done, 2 bad input, or somebody "
    "runs it, 3 no engine answers: the run is over then, and its volumes are removed the next time."
)
def forget(
    run: RunArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    by: Annotated[
        str | None, typer.Option("--by", metavar="NAME", help="Who says so. Default: login name.")
    ] = None,
    home: HomeOption = None,
    json: output.JsonOption = False,
) -> None:
    """End a stopped run for good, and remove the files of its box.

    Its questions are withdrawn, the seed of its draws is revealed, its journal ends and stays. On a
    terminal it asks first; elsewhere it wants --yes. Of a run that is over, only what may be left
    of its box is removed.
    """
    with open_store(home) as store:
        row = find_run(store, run)
        if row.status not in ("done", "failed"):
            _end(store, row, audit_answers.login_name() if by is None else by, yes=yes)
        trio.run(compose.sandbox(store.home).forget, row.run)
        if json:
            output.as_json(summary.figures(summary.read(store, row)))
        else:
            output.line(f"run {row.run} is over, and nothing of its box is left")


def _end(store: Store, row: RunRow, by: str, *, yes: bool) -> None:
    if store.held(row):
        raise RunHeld(f"run {row.run!r} is being run by {told(row.owner or '')}; stop that first")
    if not by.strip():
        raise BadInput("a run is forgotten by somebody: --by NAME")
    waiting = len(store.items(run=row.run))
    also = f" Of its questions to people {waiting} will be withdrawn." if waiting else ""
    if not yes:
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise BadInput(f"run {row.run!r} can still go on; to end it for good add --yes")
        output.note(f"Run {row.run} can still go on.{also} Forgotten, it cannot.")
        if not typer.confirm("Forget it?", default=False, err=True):
            raise BadInput(f"run {row.run!r} was left as it is")
    loaded = recorded_project(store, row)
    trio.run(tend.forget, store, row, loaded, by, trio.to_thread.run_sync)
