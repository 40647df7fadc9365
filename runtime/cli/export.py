"""`monastery export`: a run's segments and rewards for other tools, or its journal with proofs."""

import enum
import json
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from monastery.runtime.cli import output
from monastery.runtime.cli.home import HomeOption, RunArgument, find_run, open_store
from monastery.runtime.cli.runs import steps_over
from monastery.runtime.errors import BadInput
from monastery.runtime.proofs import journal_lines
from monastery.runtime.segment_lines import export_lines

app = typer.Typer(rich_markup_mode=None, add_completion=False)


class Format(enum.StrEnum):
    """What can be written."""

    jsonl = enum.auto()
    journal = enum.auto()


@app.command(epilog="Example: monastery export last --to jsonl --output segments.jsonl")
def export(
    run: RunArgument,
    to: Annotated[
        Format,
        typer.Option(
            help="jsonl: one JSON object a line for each segment, in order; journal: the record "
            "itself with its proofs, for scripts/verify.py."
        ),
    ],
    output_file: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Write to this file, whole or not at all. Default: stdout.",
            show_default=False,
        ),
    ] = None,
    without_content: Annotated[
        bool,
        typer.Option(
            "--without-content", help="With --to journal: events and proofs, and nobody's words."
        ),
    ] = False,
    home: HomeOption = None,
) -> None:
    """Write a run's segments and rewards, or its journal with proofs.

    In jsonl each line holds one think segment: what it was given (context, fixed), what it did
    (trainable), and what it earned; reward null is unmeasured, not zero.
    """
    if without_content and to is not Format.journal:
        raise BadInput("--without-content is for --to journal; leave it out")
    with open_store(home) as store:
        row = find_run(store, run)
        if to is Format.journal:
            objects = journal_lines(store, row.run, contents=not without_content)
            total = row.seq
        else:
            objects, total = export_lines(store, row.run), steps_over(store, row) + 1
        lines = (json.dumps(one, ensure_ascii=False) for one in objects)
        shown = _with_progress(lines, total)
        if output_file is None:
            for line in shown:
                output.line(line)
        else:
            _write_whole(output_file, shown)


def _with_progress(lines: Iterable[str], total: int) -> Iterator[str]:
    """Yield lines, with a bar on stderr when that takes longer than a second on a terminal."""
    if not sys.stderr.isatty():
        yield from lines
        return
    import time

    from rich.console import Console
    from rich.progress import Progress

    began = time.monotonic()
    bar = Progress(console=Console(stderr=True), transient=True)
    task = bar.add_task("export", total=total)
    try:
        for line in lines:
            bar.advance(task)
            if not bar.live.is_started and time.monotonic() - began > 1:
                bar.start()
            yield line
    finally:
        bar.stop()


def _write_whole(path: Path, lines: Iterable[str]) -> None:
    """Write a file so that at its name there is all of it, or what was there before."""
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        partial = Path(name)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                for line in lines:
                    file.write(line + "\n")
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as exc:
        raise BadInput(f"cannot write {str(path)!r}: {exc.strerror}; name another file") from exc
