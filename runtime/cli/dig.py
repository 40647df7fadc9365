"""`monastery dig`: the shells that people had in copies of boxes, told, played and saved."""

import hashlib
import shutil
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from monastery.runtime.cli import output
from monastery.runtime.cli.home import HomeOption, find
from monastery.runtime.desk_book import DeskBook
from monastery.runtime.display import visible_line
from monastery.runtime.errors import BadInput
from monastery.runtime.people import Dig

app = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=True)

_MOST_PAUSE_SECONDS = 2.0

DigArgument = Annotated[
    str, typer.Argument(metavar="ID", help="The dig, or the beginning of its name.")
]


@app.callback(
    epilog="Examples: monastery dig list; monastery dig play dig-3f --speed 4. Exit codes: 0 done, "
    "2 bad input, or a recording that was changed."
)
def digs() -> None:
    """Tell of the shells that people had in copies of boxes; play what was recorded."""


@app.command("list", epilog="Example: monastery dig list --json")
def list_digs(home: HomeOption = None, json: output.JsonOption = False) -> None:
    """List them, the oldest first: who, on which question, for how long, and why it ended."""
    with DeskBook.open(find(home), create=False) as book:
        found = book.all_digs()
    if json:
        output.as_json([_told(one) for one in found])
    elif not found:
        output.line("nobody has had a shell in a copy of a box")
    else:
        output.table(
            ("DIG", "BEGAN", "PERSON", "ITEM", "SECONDS", "ENDED"),
            [
                (
                    one.dig,
                    output.when(one.began),
                    visible_line(one.person),
                    visible_line(one.item),
                    "" if one.ended is None else f"{(one.ended - one.began).total_seconds():.0f}",
                    visible_line(one.why) if one.ended else "it lasts, or was cut off",
                )
                for one in found
            ],
        )


@app.command(epilog="Example: monastery dig play dig-3f --speed 4")
def play(
    dig: DigArgument,
    speed: Annotated[
        float, typer.Option(metavar="N", min=0.1, max=1000.0, help="How much faster than it was.")
    ] = 1.0,
    home: HomeOption = None,
) -> None:
    """Play what a shell showed; no pause is longer than two seconds, and Ctrl-C stops it.

    What is no terminal gets all that was shown as lines of text. Control characters of the
    recording are made visible and never obeyed.
    """
    from monastery.auditor.dig import cast
    from monastery.auditor.dig.screen import Screen
    from monastery.runtime.cli.glass import ALONE, BACK, Glass, plain

    content = _recording(dig, home)
    rows, columns, moments = cast.read(content)
    screen = Screen(rows, columns)
    is_terminal = sys.stdout.isatty()
    size = shutil.get_terminal_size()
    glass, now = Glass(size.columns), 0.0
    if is_terminal:
        sys.stdout.write(ALONE)
    try:
        for moment in moments:
            if moment.kind == "r":
                screen.resize(*_size(moment.text))
            elif moment.kind == "o":
                screen.feed(moment.text.encode())
            if is_terminal:
                pause = min(_MOST_PAUSE_SECONDS, max(0.0, moment.seconds - now) / speed)
                now = max(now, moment.seconds)
                time.sleep(pause)
                bar = glass.bar(f" {dig}: an agent's box, copied; {now:.0f} s; Ctrl-C stops")
                sys.stdout.write(bar + glass.paint(screen.lines()[: size.lines - 1]))
                sys.stdout.flush()
    finally:
        if is_terminal:
            sys.stdout.write(BACK)
    screen.cursor_shown = False
    shown = [*screen.scrolled(0), *screen.lines()]
    while shown and not shown[-1]:
        shown.pop()
    output.line(plain(shown))


@app.command(epilog="Example: monastery dig save dig-3f8a bell.cast; asciinema play bell.cast")
def save(
    dig: DigArgument,
    file: Annotated[Path, typer.Argument(help="Where to; - is the standard output.")],
    home: HomeOption = None,
) -> None:
    """Save a recording as an asciicast, which other programs play too.

    Those obey what is in it: control characters of whatever the agent wrote. `dig play` does not.
    """
    content = _recording(dig, home)
    if str(file) == "-":
        if sys.stdout.isatty():
            raise BadInput("a recording is not written to a terminal; name a file, or dig play it")
        sys.stdout.buffer.write(content)
        return
    try:
        with file.open("xb") as saved:
            saved.write(content)
    except OSError as exc:
        raise BadInput(f"cannot write {str(file)!r}: {exc.strerror}") from exc


def _recording(name: str, home: Path | None) -> bytes:
    """Return what was recorded, if it is still what was recorded.

    Raises:
        BadInput: There is none, or it was changed.
    """
    with DeskBook.open(find(home), create=False) as book:
        dig = book.find_dig(name)
        path = book.recording(dig)
    try:
        content = path.read_bytes()
    except OSError as exc:
        raise BadInput(f"the recording of {dig.dig} cannot be read: {exc.strerror}") from exc
    if dig.sha256 and hashlib.sha256(content).hexdigest() != dig.sha256:
        raise BadInput(f"the recording of {dig.dig} is not what was recorded; its hash is another")
    return content


def _told(dig: Dig) -> dict[str, object]:
    return {
        "dig": dig.dig,
        "item": dig.item,
        "person": dig.person,
        "stage": dig.stage,
        "of": dig.of,
        "began": dig.began.isoformat(),
        "ended": None if dig.ended is None else dig.ended.isoformat(),
        "why": dig.why,
        "sha256": dig.sha256 or None,
        "size_bytes": dig.size_bytes,
    }


def _size(text: str) -> tuple[int, int]:
    """Return the rows and columns that a recording names, or those that are usual."""
    columns, _, rows = text.partition("x")
    if not (columns.isdecimal() and rows.isdecimal() and len(text) < 12):
        return 24, 80
    return int(rows), int(columns)
