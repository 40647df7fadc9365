"""`monastery show`: the story of a run."""

from typing import Annotated

import typer

from monastery.runtime.cli import output, segment_view, summary
from monastery.runtime.cli.home import HomeOption, RunArgument, find_run, open_store
from monastery.runtime.cli.segment_view import View
from monastery.runtime.errors import BadInput

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command(epilog="Examples: monastery show last; monastery show last --segment 3 --content")
def show(
    run: RunArgument,
    content: Annotated[
        bool,
        typer.Option(
            "--content", help="With payloads, rationales, what was printed, and what came of it."
        ),
    ] = False,
    segment: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Only this segment, in detail.", show_default=False),
    ] = None,
    home: HomeOption = None,
    json: output.JsonOption = False,
) -> None:
    """Tell a run step by step.

    A line for each step; with --segment or --content a block. What cannot be seen, or would move
    what can be seen, is written as its code point: a terminal escape shows as ‹U+001B›.
    """
    with open_store(home) as store:
        told = summary.read(store, find_run(store, run))
        segments = told.story.segments
        if segment is not None:
            segments = [one for one in segments if one.index == segment]
            if not segments:
                last = len(told.story.segments)
                raise BadInput(f"run {told.row.run!r} has no segment {segment}; it has 1 to {last}")
        view = View(store, told, content=content)
        if json:
            output.as_json(
                {
                    **summary.figures(told),
                    "started": told.row.started,
                    "ended": told.story.ended_at,
                    "segments": [segment_view.as_dict(view, one) for one in segments],
                }
            )
            return
        output.flush()
        console = output.console()
        if segment is None:
            console.print(segment_view.heading(view))
        if content or segment is not None:
            for one in segments:
                console.print(segment_view.block(view, one), soft_wrap=True)
        else:
            for one_line in segment_view.table(view, segments, console.width):
                if console.is_terminal:
                    console.print(one_line, soft_wrap=True)
                else:
                    console.file.write(f"{one_line.plain}\n")
        if segment is None:
            output.line()
            for line in summary.lines(told):
                output.line(line)
