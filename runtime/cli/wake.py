"""`monastery wake`: goes on with the parked runs whose answers have arrived; for cron, say."""

from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any

import trio
import typer

from monastery.runtime import parking
from monastery.runtime.cli import compose, output, summary
from monastery.runtime.cli.home import HomeOption, open_store
from monastery.runtime.cli.run import recorded_project
from monastery.runtime.cli.stopping import INTERRUPTED, Stop, mind_signals
from monastery.runtime.display import visible
from monastery.runtime.errors import MonasteryError, RunHeld
from monastery.runtime.heartbeat import Keep
from monastery.runtime.journal import Record
from monastery.runtime.kernel_timer import KernelTimer
from monastery.runtime.owner import this_process
from monastery.runtime.ports import Desk
from monastery.runtime.records import RunId
from monastery.runtime.rows import RunRow
from monastery.runtime.run import World
from monastery.runtime.runner import cause, go_until_parked
from monastery.runtime.store import Store

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command(
    epilog="Example: monastery wake --home ~/work/.monastery, every five minutes from cron. "
    "Exit codes: 0 every woken run ended or is parked again, 1 one of them did not or could not go "
    "on, 2 bad input, 130 interrupted."
)
def wake(
    at_once: Annotated[
        int, typer.Option("--at-once", metavar="N", min=1, help="How many boxes at a time.")
    ] = 4,
    home: HomeOption = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print a list with an object for each woken run.")
    ] = False,
) -> None:
    """Go on with every parked run whose answers have arrived.

    Each is lived until it is over or parked again. What people have answered is kept while nothing
    runs. Of several people who are asked about one step all must have answered, or the time of one
    be up. Started twice, the second finds nothing to do: a run is woken once.
    """
    with open_store(home) as store:
        told, stop = _Told(quiet=json), Stop()
        found = [row for row in store.runs() if _due(store, row)]
        trio.run(_wake, store, list(reversed(found)), at_once, told, stop)
        if json:
            output.as_json(told.runs)
        elif not found:
            output.line("no parked run has its answers")
    raise typer.Exit(INTERRUPTED if stop.by else told.code)


def _due(store: Store, row: RunRow) -> bool:
    return (
        row.status == "parked"
        and not store.held(row)
        and parking.ready(store, row.run, datetime.now(UTC))
    )


class _Told:
    """What became of the runs.

    Attributes:
        code: The exit code so far.
        runs: One object for each woken run that is over, parked again or stopped.
    """

    def __init__(self, *, quiet: bool) -> None:
        self.code = 0
        self.runs: list[dict[str, Any]] = []
        self._quiet = quiet

    def line(self, run: str, text: str) -> None:
        """Tell of a run."""
        if not self._quiet:
            with output.unread_is_fine():
                output.line(visible(f"{run}  {text}"))

    def end(self, store: Store, run: RunId) -> None:
        """Tell how a run stands that is not lived any more."""
        figures = summary.figures(summary.read(store, store.run(run)))
        self.runs.append(figures)
        reason = f": {figures['reason']}" if figures["reason"] else ""
        self.line(run, f"{figures['status']}{reason}, steps {figures['steps']}")
        if figures["status"] == "failed":
            self.code = max(self.code, 1)


async def _wake(store: Store, rows: list[RunRow], at_once: int, told: _Told, stop: Stop) -> None:
    limit, keep = trio.CapacityLimiter(at_once), Keep(arm=KernelTimer().arm)
    async with trio.open_nursery() as stopping:
        with trio.CancelScope() as scope:
            await stopping.start(mind_signals, scope, stop)
            async with trio.open_nursery() as nursery:
                for row in rows:
                    nursery.start_soon(_one, store, row, limit, keep, told)
        stopping.cancel_scope.cancel()


async def _one(
    store: Store, row: RunRow, limit: trio.CapacityLimiter, keep: Keep, told: _Told
) -> None:
    """Go on with one run; that it cannot go on is its own misfortune, not the others'."""
    async with limit:
        try:
            loaded = recorded_project(store, row)
            taken = store.claim(row.run, this_process())
        except RunHeld:  # somebody else has woken it meanwhile
            return
        except MonasteryError as exc:
            told.code = 1
            output.note(visible(f"monastery: {row.run}: {exc}"))
            return
        told.line(row.run, "goes on")

        def build(desk: Desk, calls: int) -> World:
            return compose.world(
                loaded, desk, calls, sandbox=compose.sandbox(store.home), home=store.home
            )

        lives = partial(go_until_parked, store.home, taken, loaded, build, _unwatched, keep=keep)
        try:
            await lives()
        except* MonasteryError as group:
            told.code = 1
            output.note(visible(f"monastery: {row.run}: {cause(group)}"))
        finally:
            told.end(store, row.run)


def _unwatched(record: Record) -> None:
    """Take no notice: the journal has it."""
