"""`monastery doctor`: what holds on this machine."""

import os
import secrets
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import trio
import typer

from monastery.runtime.cli import compose, output
from monastery.runtime.cli.compose import Finding
from monastery.runtime.cli.home import HomeOption, find
from monastery.runtime.display import visible_line
from monastery.runtime.errors import BoxError, EngineUnavailable, Unfit
from monastery.runtime.project import BoxSettings
from monastery.runtime.records import BoxSpec, RunId

app = typer.Typer(rich_markup_mode=None, add_completion=False)

_STYLES = {"holds": "green", "fails": "bold red", "unknown": "yellow"}


@app.command(epilog="Example: monastery doctor --json")
def doctor(
    image: Annotated[str, typer.Option(help="The box image to try.")] = BoxSettings().image,
    home: HomeOption = None,
    json: output.JsonOption = False,
) -> None:
    """Check this machine: engine, image, home, and that a real box holds.

    Opens one box and tries, from the inside, what must not be possible. Exit code 0 when nothing
    fails, 1 when something does, 3 when no engine answers.
    """
    findings = _examine_home(find(home))
    code = 0
    try:
        findings += trio.run(_examine, image)
    except EngineUnavailable as exc:
        findings.append(Finding("engine", "answers", str(exc), "fails"))
        code = exc.exit_code
    if json:
        output.as_json([asdict(one) for one in findings])
    else:
        _print(findings)
    raise typer.Exit(code or int(any(one.verdict == "fails" for one in findings)))


async def _examine(image: str) -> list[Finding]:
    findings = await compose.examine_engine(image)
    if any(one.probe == "image" and one.verdict == "fails" for one in findings):
        return findings
    run = RunId(f"doctor-{secrets.token_hex(4)}")
    sandbox = compose.sandbox()
    try:
        async with sandbox.open(run, BoxSpec(image=image)) as box:
            findings += await compose.examine_box(box)
    except* (Unfit, BoxError) as exc:
        reason = "; ".join(str(one) for one in exc.exceptions)
        findings.append(Finding("box", "opens and holds", reason, "fails"))
    finally:
        with trio.CancelScope(shield=True):
            await sandbox.forget(run)
    return findings


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


def _print(findings: list[Finding]) -> None:
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("PROBE", "EXPECTED", "SEEN", "VERDICT"):
        grid.add_column(name, overflow="fold")
    for one in findings:
        seen = Text(visible_line(one.seen, max_columns=400))
        grid.add_row(one.probe, one.expected, seen, Text(one.verdict, style=_STYLES[one.verdict]))
    output.console().print(grid)
