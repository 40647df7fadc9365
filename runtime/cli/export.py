"""`monastery export`: runs' segments and rewards for other tools, or a journal with proofs."""

import enum
import importlib.resources
import json
import math
import os
import tempfile
from collections.abc import Iterable, Iterator
from itertools import chain, groupby
from pathlib import Path
from typing import Annotated, Any

import typer

from monastery.runtime import recall
from monastery.runtime.cli import output
from monastery.runtime.cli.bar import counted
from monastery.runtime.cli.home import HomeOption, find_run, open_store
from monastery.runtime.cli.runs import steps_over
from monastery.runtime.credit import TrainingItem
from monastery.runtime.errors import BadInput, MonasteryError
from monastery.runtime.exports.folder import new_folder
from monastery.runtime.exports.notes import LOUD, warnings
from monastery.runtime.exports.process_labels import run_object
from monastery.runtime.exports.tally import Tally, told_runs
from monastery.runtime.exports.write import step_objects, write_export
from monastery.runtime.project_file import parse
from monastery.runtime.proofs import journal_lines
from monastery.runtime.rows import RunRow
from monastery.runtime.segment_lines import export_lines
from monastery.runtime.store import Store
from monastery.runtime.story import Story, tell
from monastery.runtime.training import training_items

app = typer.Typer(rich_markup_mode=None, add_completion=False)


class Format(enum.StrEnum):
    """What can be written."""

    jsonl = enum.auto()
    journal = enum.auto()
    steps = enum.auto()
    trl = enum.auto()
    preferences = enum.auto()
    verl = enum.auto()
    prime_rl = "prime-rl"
    prm800k = enum.auto()


_LINES = (Format.jsonl, Format.journal, Format.steps)
"""What goes to stdout when no place is named."""

_PROGRAMS = {
    Format.trl: ("train.py", "trl_recorded.py"),
    Format.prime_rl: ("batch.py", "prime_rl_batch.py"),
}
"""Its name beside the rows, and where it is in `monastery.policies.trainers`."""


@app.command(
    epilog="Examples: monastery export last --to jsonl --output segments.jsonl\n\n"
    "monastery export RUN RUN --to trl --output rows"
)
def export(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN...", help="The runs: the name of each, the beginning of it, or last."
        ),
    ],
    to: Annotated[
        Format,
        typer.Option(
            help="jsonl: one JSON object a line for each segment, in order; journal: the record "
            "itself with its proofs, for scripts/verify.py. For trainers: steps (a row a step, "
            "JSON lines and parquet), trl, verl, prime-rl, preferences, prm800k."
        ),
    ],
    place: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "--out",
            "-o",
            metavar="PATH",
            help="Write to this file (jsonl, journal) or new folder (the others), whole or not at "
            "all. Default: stdout, for jsonl, journal and steps.",
            show_default=False,
        ),
    ] = None,
    without_content: Annotated[
        bool,
        typer.Option(
            "--without-content", help="With --to journal: events and proofs, and nobody's words."
        ),
    ] = False,
    baseline: Annotated[
        float,
        typer.Option(
            help="What a score without alternatives is compared with in the column advantage; "
            "choose it before you look at scores."
        ),
    ] = 0.0,
    home: HomeOption = None,
) -> None:
    """Write runs' segments and rewards, for trainers too, or a journal with proofs.

    In jsonl each line holds one think segment: what it was given (context, fixed), what it did
    (trainable), and what it earned; reward null is unmeasured, not zero. What trainers get keeps
    each reward at its own step, and says which of their settings would carry it on.
    """
    if without_content and to is not Format.journal:
        raise BadInput("--without-content is for --to journal; leave it out")
    if not math.isfinite(baseline):
        raise BadInput(f"--baseline {baseline:g} is no score; choose one, such as 0.5")
    if place is None and to not in _LINES:
        raise BadInput(f"--to {to} writes a folder; name a new one with --output FOLDER")
    if to is Format.journal and len(runs) > 1:
        raise BadInput(f"--to journal writes one run, not {len(runs)}; export each by itself")
    with open_store(home) as store:
        rows = list({row.run: row for row in (find_run(store, one) for one in runs)}.values())
        total = sum(steps_over(store, row) + 1 for row in rows)
        if to is Format.journal:
            row = rows[0]
            objects = journal_lines(store, row.run, contents=not without_content)
            _write(place, counted(objects, "export", row.seq))
        elif to is Format.jsonl:
            lines = chain.from_iterable(export_lines(store, row.run) for row in rows)
            _write(place, counted(lines, "export", total))
        else:
            _for_trainers(store, rows, to, place, baseline, total)


def _for_trainers(
    store: Store, rows: list[RunRow], to: Format, place: Path | None, baseline: float, total: int
) -> None:
    """Write what a trainer reads, and say what to beware of."""
    tally = Tally([row.run for row in rows])
    items = chain.from_iterable(training_items(store, row.run) for row in rows)
    shown = counted(items, "export", total)
    if place is None:
        _write(None, step_objects(shown, tally, baseline))
        tally.check_tokens(to)
    else:
        with new_folder(place) as folder:
            write_export(
                to,
                folder,
                shown,
                tally,
                baseline=baseline,
                solutions=_solutions(store, rows, tally.see(shown)),
                programs=_programs(to),
            )
        named = f"{tally.written} rows, " if tally.written else ""
        told = f"{named}{tally.segments} steps, {tally.measured} of them scored"
        output.line(f"{told_runs(tally.runs)}: {told}; in {place}")
    for doubt in tally.doubts():
        output.note(f"NOTE: {doubt}")
    output.note(f"WARNING: {LOUD}")
    for one in warnings(to):
        output.note(f"  {one}")


def _solutions(
    store: Store, rows: list[RunRow], items: Iterable[TrainingItem]
) -> Iterator[dict[str, Any]]:
    """Yield each run as one labelled solution."""
    named = {row.run: row for row in rows}
    for run, mine in groupby(items, lambda item: item.run):
        story = tell(store, run)
        yield run_object(
            mine,
            goal=_goal(store, named[run], story),
            done=story.ended is not None and story.ended.success,
            at=story.ended_at,
        )


def _goal(store: Store, row: RunRow, story: Story) -> str:
    """Return what the run was for, as its journal has it; the project's name if that is gone."""
    if story.started is None:
        return row.project
    source = recall.kept(store, story.started.project_file.ref)
    try:
        return parse(source, row.project_path, on_disk=False).project.goal
    except MonasteryError:
        return row.project


def _programs(to: Format) -> dict[str, bytes]:
    """Return the program that is laid beside the rows."""
    if to not in _PROGRAMS:
        return {}
    name, module = _PROGRAMS[to]
    found = importlib.resources.files("monastery.policies.trainers") / module
    return {name: found.read_bytes()}


def _write(place: Path | None, objects: Iterable[Any]) -> None:
    """Write a JSON object a line, to a file or to stdout."""
    lines = (json.dumps(one, ensure_ascii=False) for one in objects)
    if place is None:
        for line in lines:
            output.line(line)
    else:
        _write_whole(place, lines)


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
