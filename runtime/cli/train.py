"""`monastery train`: runs episodes of a project with a local model, and trains it meanwhile."""

import shlex
from functools import partial
from pathlib import Path
from typing import Annotated

import trio
import typer

from monastery.runtime import project_file, training_curve
from monastery.runtime.cli import compose, output
from monastery.runtime.cli.bar import Bar, bar
from monastery.runtime.cli.home import HomeOption, find
from monastery.runtime.cli.stopping import INTERRUPTED, Stop, mind_signals
from monastery.runtime.episodes import Episodes
from monastery.runtime.events import SegmentStarted
from monastery.runtime.journal import Record

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command(
    epilog="Examples: monastery train project.yaml --episodes 100 --checkpoint training;"
    " monastery train project.yaml --episodes 200 --checkpoint training --resume"
)
def train(
    project: Annotated[Path, typer.Argument(metavar="PROJECT", help="A project file.")],
    episodes: Annotated[
        int, typer.Option(metavar="N", min=1, help="So many in all, those before a stop included.")
    ],
    checkpoint: Annotated[
        Path, typer.Option(metavar="FOLDER", help="For the model, its optimiser and the curve.")
    ],
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the training in that folder.")
    ] = False,
    seed: Annotated[
        int | None,
        typer.Option(metavar="S", help="Of what the model says. Default: 0.", show_default=False),
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(metavar="X", help="Of AdamW. Default: 1e-5.", show_default=False),
    ] = None,
    baseline: Annotated[
        float | None,
        typer.Option(
            metavar="X", help="What a score is compared with. Default: 0.5.", show_default=False
        ),
    ] = None,
    home: HomeOption = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object an episode, and nothing else.")
    ] = False,
) -> None:
    """Train a local model in runs of a project: each audited segment is one update.

    The project's policy is `local`. Its folder is not changed: the trained model is in the
    checkpoint, and is a policy too. A training that was stopped, by Ctrl-C or a crash, goes on with
    --resume: no update is lost, and none is made twice.
    """
    loaded = project_file.load(project)
    asked = {"seed": seed, "learning_rate": learning_rate, "baseline": baseline}
    with bar("episodes", episodes) as shown:
        lived = compose.episodes(
            loaded,
            checkpoint,
            find(home, beside=loaded.folder),
            {name: value for name, value in asked.items() if value is not None},
            resume=resume,
            watch=partial(_watch, shown),
        )
        training = lived.training
        shown.goes_on(by=training.episodes)
        again = f"monastery train {shlex.quote(str(project))} --episodes {episodes} --checkpoint"
        again = f"{again} {shlex.quote(str(checkpoint))} --resume"
        stop = Stop()
        try:
            trio.run(_train, lived, episodes, stop, shown, json)
        except BaseException:
            shown.hide()
            output.note(f"the training can go on: {again}")
            raise
    if stop.by is not None:
        output.note(f"stopped by {stop.by}; go on with: {again}")
        raise typer.Exit(INTERRUPTED)
    if not json:
        output.line(f"trained   {training.updates} updates in {episodes} episodes")
        output.line(f"model     {training.model}")
        for path in training_curve.draw(checkpoint):
            output.line(f"curve     {path}")


async def _train(episodes: Episodes, count: int, stop: Stop, shown: Bar, quiet: bool) -> None:
    """Live one episode after the other, until a signal."""
    async with trio.open_nursery() as nursery:
        scope = trio.CancelScope()
        await nursery.start(mind_signals, scope, stop)
        with scope:
            while episodes.training.episodes < count:
                point = await episodes.live()
                shown.hide()
                _tell(point, quiet)
                shown.goes_on(by=1)
        nursery.cancel_scope.cancel()


def _watch(shown: Bar, record: Record) -> None:
    """Show how far the episode is."""
    event = record.event
    shown.goes_on(f"episodes, at step {event.index}" if isinstance(event, SegmentStarted) else None)


def _tell(point: training_curve.Point, quiet: bool) -> None:
    with output.unread_is_fine():
        if quiet:
            output.as_json(point)
            return
        score = "-" if point["score"] is None else f"{point['score']:.3f}"
        output.line(
            f"episode {point['episode']}  {point['run']} {point['status']}:"
            f" {point['segments']} steps, {point['audited']} audited, score {score},"
            f" {point['updates']} updates, {point['seconds']:.1f} s"
        )
