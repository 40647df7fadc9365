"""`monastery erase`: takes contents out of a record whose proofs still hold."""

import sys
from typing import Annotated

import typer

from monastery.runtime.cli import output
from monastery.runtime.cli.home import HomeOption, RunArgument, find, find_run
from monastery.runtime.cli.telling import count
from monastery.runtime.desk_book import DeskBook
from monastery.runtime.erase import Plan, plan
from monastery.runtime.errors import BadInput

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command(
    epilog="Examples: monastery erase last 3fa2c1; monastery erase last --segment 4; "
    "monastery erase last --matching 'Ada Lovelace'"
)
def erase(
    run: RunArgument,
    blob: Annotated[
        str | None,
        typer.Argument(
            show_default=False, help="A content: its ref as monastery show names it, or part of it."
        ),
    ] = None,
    segment: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="All contents of this segment.", show_default=False),
    ] = None,
    matching: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="All contents that hold this text; - reads it from stdin.",
            show_default=False,
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    home: HomeOption = None,
    json: output.JsonOption = False,
) -> None:
    """Erase contents from a record whose proofs still hold.

    Contents are payloads, transcripts, model calls, outcomes, what people said. What the runtime
    made of them (cases, questions, later steps' stories) goes with them, and so does every
    recording of a shell in a copy of the run's box. The events stay. It cannot be undone. Exit
    code 1 when the text is left in an event's own words.
    """
    if sum(one is not None for one in (blob, segment, matching)) != 1:
        raise BadInput("say what to erase: a content, or --segment N, or --matching TEXT")
    sought = sys.stdin.read().rstrip("\n") if matching == "-" else matching
    with DeskBook.open(find(home), create=False) as store:
        row = find_run(store, run)
        if store.held(row):
            raise BadInput(f"run {row.run!r} is being run; stop it first, then erase")
        wanted = None if sought is None else sought.encode()
        found = plan(store, row, content=blob, segment=segment, matching=wanted)
        recordings = [one.dig for one in store.recordings(row.run)]
        if not (yes or (not found.refs and not found.items and not recordings)):
            _ask(found, len(recordings))
        store.erase(row.run, found.refs, found.items)
        store.erase_recordings(row.run)
    if json:
        output.as_json(
            {
                "run": row.run,
                "erased": found.refs,
                "items": found.items,
                "events": found.remains,
                "bare": found.bare,
                "recordings": recordings,
            }
        )
    else:
        for dig in recordings:
            output.line(f"erased    recording {dig}")
        _tell(found)
    raise typer.Exit(1 if found.remains else 0)


def _ask(found: Plan, recordings: int) -> None:
    """Ask a person; without one, do nothing."""
    what = f"{count(len(found.refs), 'content')} and {count(len(found.items), 'question')}"
    if recordings:
        what = f"{what} and {count(recordings, 'recording')} of shells"
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise BadInput(f"{what} would be erased, which cannot be undone; to do it, add --yes")
    typer.confirm(f"Erase {what}? It cannot be undone.", abort=True, err=True)


def _tell(found: Plan) -> None:
    for ref in found.refs:
        output.line(f"erased    {ref}")
    for item in found.items:
        output.line(f"erased    question {item}")
    if not found.refs and not found.items:
        earlier = f"; {count(found.before, 'content')} were erased before" if found.before else ""
        output.line(f"nothing to erase{earlier}")
    if found.bare:
        output.note(
            f"{count(found.bare, 'content')} of them were named by their bare hash (format 1): who"
            " can guess such a content can still confirm the guess"
        )
    if found.remains:
        events = ", ".join(map(str, found.remains[:10]))
        output.note(f"the text is left in the words of events, which cannot be erased: {events}")
