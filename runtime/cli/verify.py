"""`monastery verify`: what a run's record proves."""

from pathlib import Path
from typing import Annotated

import typer

from monastery.runtime.cli import output
from monastery.runtime.cli.home import HomeOption, RunArgument, find_run, open_store
from monastery.runtime.display import visible_line
from monastery.runtime.errors import BadInput
from monastery.runtime.keys import PublicKey
from monastery.runtime.proofs import prove as prove_event
from monastery.runtime.verify import verify as verify_run

app = typer.Typer(rich_markup_mode=None, add_completion=False)

_WORDS = {True: "holds", False: "FAILS", None: "unknown"}


@app.command(epilog="Example: monastery verify last --checkpoint /backup/checkpoints/RUN")
def verify(
    run: RunArgument,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Checkpoints kept elsewhere. Default: those beside the database, which whoever "
            "can edit the one can edit too.",
            show_default=False,
        ),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            help="The public key that must have signed the checkpoints: a file, or the line that "
            "monastery key prints. Default: this home's.",
            show_default=False,
        ),
    ] = None,
    prove: Annotated[
        int | None,
        typer.Option(
            metavar="SEQ",
            min=0,
            help="Check nothing; print the proof that event SEQ is in the journal, as JSON.",
            show_default=False,
        ),
    ] = None,
    home: HomeOption = None,
    json: output.JsonOption = False,
) -> None:
    """Check a run's journal: integrity, completeness, draws, boundaries, order.

    Each verdict holds, fails, or is unknown for the reason given. Exit code 1 when any fails.
    """
    with open_store(home) as store:
        row = find_run(store, run)
        if prove is not None:
            output.as_json(prove_event(store, row.run, prove))
            return
        findings = verify_run(store, row.run, checkpoint, None if key is None else _key(key))
    if json:
        told = [
            {"name": one.name, "verdict": one.verdict, "reason": one.reason} for one in findings
        ]
        output.as_json({"run": row.run, "findings": told})
    else:
        output.line(f"run {row.run}")
        output.table(
            ("PROMISE", "VERDICT", "WHY"),
            [
                (one.name, _WORDS[one.verdict], visible_line(one.reason, max_columns=None))
                for one in findings
            ],
        )
    raise typer.Exit(1 if any(one.verdict is False for one in findings) else 0)


def _key(given: str) -> PublicKey:
    """Return the key in a file, or in the line itself."""
    try:
        return PublicKey.parse(given if "+" in given else Path(given).read_text())
    except (OSError, ValueError) as exc:
        raise BadInput(f"no public key in {given!r}: {exc}") from exc
