"""`monastery doctor`: what holds on this machine."""

import os
import tempfile
import time
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated

import trio
import typer

from monastery.runtime.cli import compose, output
from monastery.runtime.cli.compose import Finding
from monastery.runtime.cli.home import HomeOption, find
from monastery.runtime.display import visible_line
from monastery.runtime.errors import EngineUnavailable, Unfit
from monastery.runtime.project import STANDARD_IMAGE

app = typer.Typer(rich_markup_mode=None, add_completion=False)

_STYLES = {"holds": "green", "fails": "bold red", "unknown": "yellow"}


@app.command(epilog="Examples: monastery doctor --json; monastery doctor --runtime runsc --full")
def doctor(
    image: Annotated[str, typer.Option(help="The box image to try.")] = STANDARD_IMAGE,
    runtime: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Try boxes under this runtime of the engine, say runsc."),
    ] = None,
    full: Annotated[
        bool,
        typer.Option(
            "--full",
            help="Also use up all that can be used up, and see that every probe comes out open in "
            "a container that is weak on purpose. Half a minute.",
        ),
    ] = False,
    home: HomeOption = None,
    json: output.JsonOption = False,
) -> None:
    """Check this machine: engine, image, home, and that a real box holds.

    Opens two boxes and tries, from the inside, what must not be possible; docs/containment.md
    explains each probe. Exit code 0 when nothing fails, 1 when something does, 3 when no engine
    answers or it cannot do what a box needs.
    """
    groups = {"home": _examine_home(find(home))}
    code = 0
    try:
        groups |= trio.run(partial(compose.examine, image, runtime=runtime, full=full))
    except EngineUnavailable as exc:
        groups["engine"] = [Finding("engine", "answers", str(exc), "fails")]
        code = exc.exit_code
    findings = [one for group in groups.values() for one in group]
    fails = [one for one in findings if one.verdict == "fails"]
    if any(one.probe.startswith("engine: ") for one in fails):
        code = Unfit.exit_code
    if json:
        output.as_json([asdict(one) for one in findings])
    else:
        _print(groups)
    raise typer.Exit(code or int(bool(fails)))


def _examine_home(home: Path) -> list[Finding]:
    """Write a file where runs would lie, as the journal is written: with fsync."""
    place = home
    while not place.exists():
        place = place.parent
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(bytes(4096))
            file.flush()
            began = time.perf_counter()
            os.fsync(file.fileno())
            took = time.perf_counter() - began
    except OSError as exc:
        seen = f"{exc.strerror} in {place}; name another folder with --home"
        return [Finding("home", "writable, fsync works", seen, "fails")]
    seen = f"{home}, fsync in {output.seconds(took)}"
    return [Finding("home", "writable, fsync works", seen, "holds")]


def _print(groups: dict[str, list[Finding]]) -> None:
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("PROBE", "EXPECTED", "SEEN", "VERDICT"):
        grid.add_column(name, overflow="fold")
    for group, findings in groups.items():
        grid.add_row(Text(group, style="bold"))
        for one in findings:
            seen = Text(visible_line(one.seen, max_columns=400))
            verdict = Text(one.verdict, style=_STYLES[one.verdict])
            grid.add_row(f"  {one.probe}", one.expected, seen, verdict)
    output.console().print(grid)
    verdicts: list[str] = [one.verdict for group in groups.values() for one in group]
    counted = ", ".join(f"{verdicts.count(name)} {word}" for name, word in _WORDS.items())
    output.line(f"{counted}; what leaks remain is in docs/containment.md")


_WORDS = {"holds": "hold", "fails": "fail", "unknown": "unknown"}
