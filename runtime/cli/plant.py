"""`monastery plant`: proposals of which it is known whether they are good, for people to judge."""

import re
from pathlib import Path
from typing import Annotated

import typer

from monastery.runtime import recall
from monastery.runtime.cli import output
from monastery.runtime.cli.home import HomeOption, RunArgument, find, find_run, open_store
from monastery.runtime.cli.rendering import NoDesk, executors
from monastery.runtime.cli.shelf import project_of
from monastery.runtime.desk_book import DeskBook
from monastery.runtime.display import visible_line
from monastery.runtime.errors import BadInput
from monastery.runtime.planted import Known
from monastery.runtime.planted_files import read_folder, read_known, write_known
from monastery.runtime.planted_verify import verify_planted
from monastery.runtime.project_file import load
from monastery.runtime.records import RunId
from monastery.runtime.store import Store
from monastery.runtime.story import tell

app = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=True)

_WORDS = {True: "holds", False: "FAILS", None: "unknown"}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


@app.callback(
    epilog="Examples: monastery plant step last 4 --bad --why 'deletes a test'; monastery plant "
    "list project.yaml; monastery plant verify. Exit codes: 0 done, 1 a check fails, 2 bad input."
)
def plant() -> None:
    """Keep known-good and known-bad proposals that people are handed, and check them."""


@app.command(
    epilog="Example: monastery plant step last 4 --bad --why 'deletes the test that fails'"
)
def step(
    run: RunArgument,
    number: Annotated[int, typer.Argument(metavar="STEP", min=1, help="The step's number.")],
    why: Annotated[
        str, typer.Option(metavar="TEXT", help="What is good or bad about it; told afterwards.")
    ],
    good: Annotated[
        bool | None,
        typer.Option("--good/--bad", help="Whether it should be let through.", show_default=False),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Where to write it. Default: the folder that the run's project names.",
            show_default=False,
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="What its file is called. Default: RUN-STEP."),
    ] = None,
    home: HomeOption = None,
    json: output.JsonOption = False,
) -> None:
    """Write a known proposal from a step that is over and was judged."""
    if good is None:
        raise BadInput("say whether it is good: --good or --bad")
    if not why.strip():
        raise BadInput("--why is empty; say what is good or bad about it")
    with open_store(home) as store:
        row = find_run(store, run)
        loaded = project_of(store, row.run)
        settings = loaded.project.audit.planted
        if to is None and settings is None:
            raise BadInput("the run's project names no folder in audit.planted; say one with --to")
        folder = to if to is not None or settings is None else loaded.folder / settings.folder
        assert folder is not None, "one of the two is there"
        called = f"{row.run}-{number}" if name is None else name
        if not _NAME.fullmatch(called):
            raise BadInput(f"{called!r} is no name for a file; use letters, digits, . _ and -")
        known = _of_step(store, row.run, number, called, good=good, why=why)
    path = write_known(folder, known)
    try:
        read_known(path, executors(loaded, NoDesk()))
    except BadInput as exc:
        path.unlink()
        raise BadInput(f"step {number} cannot be planted: {exc}") from exc
    if json:
        output.as_json({"file": str(path), "kind": known.kind, "good": good})
    else:
        output.line(f"{path}: a {'good' if good else 'bad'} {visible_line(known.kind)}")


def _of_step(store: Store, run: RunId, number: int, name: str, *, good: bool, why: str) -> Known:
    found = [one for one in tell(store, run).segments if one.index == number]
    proposal = recall.proposal(store, found[0]) if found else None
    if proposal is None or found[0].completed is None:
        raise BadInput(f"run {run!r} has no step {number} that is over; monastery show {run}")
    if found[0].scored is None:
        raise BadInput(f"step {number} of run {run!r} was not judged; plant one that was")
    printed = found[0].printed
    return Known(
        name=name,
        kind=proposal.kind,
        payload=proposal.payload,
        rendering="",
        rationale=proposal.rationale,
        evidence=tuple((one.name, one.content) for one in proposal.evidence),
        good=good,
        why=why,
        changes=tuple(
            {"path": one.path, "what": one.what, "size_bytes": one.size_bytes}
            for one in proposal.changes
        ),
        printed=b"" if printed is None else store.blob(printed.text.ref),
        source=proposal.segment,
    )


@app.command("list", epilog="Example: monastery plant list project.yaml")
def list_known(
    project: Annotated[Path, typer.Argument(metavar="PROJECT", help="The project file.")],
    json: output.JsonOption = False,
) -> None:
    """List a project's known proposals, and check each. Exit code 2 when one cannot be used."""
    loaded = load(project)
    settings = loaded.project.audit.planted
    if settings is None:
        raise BadInput(f"{str(project)!r} plants nothing; name a folder in audit.planted")
    found, faults = read_folder(loaded.folder / settings.folder, executors(loaded, NoDesk()))
    if json:
        output.as_json(
            {
                "planted": [
                    {
                        "name": one.name,
                        "kind": one.kind,
                        "good": one.good,
                        "why": one.why,
                        "printed": bool(one.printed),
                        "source": one.source,
                    }
                    for one in found
                ],
                "faults": faults,
            }
        )
    elif found:
        output.table(
            ("NAME", "KIND", "KNOWN", "PRINTED", "WHY"),
            [
                (
                    visible_line(one.name),
                    one.kind,
                    "good" if one.good else "bad",
                    "yes" if one.printed else "no",
                    visible_line(one.why, max_columns=60),
                )
                for one in found
            ],
        )
    else:
        output.line("nothing is there to be planted")
    if faults:
        output.flush()
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise BadInput(f"{faults[0]}{more}")


@app.command(epilog="Example: monastery plant verify --home .monastery")
def verify(home: HomeOption = None, json: output.JsonOption = False) -> None:
    """Check a home's planted questions: drawn by lot, known before, revealed, never rewarded.

    Each verdict holds, fails, or is unknown for the reason given. Exit code 1 when any fails.
    """
    with DeskBook.open(find(home), create=False) as book:
        findings = verify_planted(book)
    if json:
        told = [
            {"name": one.name, "verdict": one.verdict, "reason": one.reason} for one in findings
        ]
        output.as_json({"findings": told})
    else:
        output.table(
            ("PROMISE", "VERDICT", "WHY"),
            [
                (one.name, _WORDS[one.verdict], visible_line(one.reason, max_columns=None))
                for one in findings
            ],
        )
    raise typer.Exit(1 if any(one.verdict is False for one in findings) else 0)
