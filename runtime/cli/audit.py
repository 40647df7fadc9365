"""`monastery audit`: the desk, where questions wait for people; for keys and for scripts."""

import base64
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import typer

from monastery.auditor.desk.rules import HELD, Refused
from monastery.auditor.desk.views import Reasons, Sheet, StepView
from monastery.runtime.cli import again, audit_answers, audit_view, handed, output
from monastery.runtime.cli.audit_seat import Seat, sitting
from monastery.runtime.cli.home import HomeOption, find_run
from monastery.runtime.display import visible, visible_line
from monastery.runtime.errors import BadInput
from monastery.runtime.people import Question, question_of
from monastery.runtime.records import Answer
from monastery.runtime.store import Store

_MOST_LINES = 400

app = typer.Typer(rich_markup_mode=None, add_completion=False, invoke_without_command=True)

ByOption = Annotated[
    str | None,
    typer.Option("--by", metavar="NAME", help="Who answers. Default: the login name."),
]
FullOption = Annotated[bool, typer.Option("--full", help="Shorten nothing.")]
SlipOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="A name for this ballot: the same twice is one.", show_default=False
    ),
]
ItemArgument = Annotated[
    str, typer.Argument(metavar="ID", help="The item, or the beginning of its id.")
]
RunOption = Annotated[
    str | None, typer.Option("--run", metavar="RUN", help="Only this run's items.")
]


@app.callback(
    epilog="Examples: monastery audit --wait; monastery audit list --json; monastery audit score "
    "ID --decision approve --score 0.8. Exit codes: 0 done, 1 the journal cannot be read or "
    "written, 2 bad input, or an item that is no longer open, 130 interrupted.",
)
def audit(
    ctx: typer.Context,
    wait: Annotated[bool, typer.Option("--wait", help="Keep waiting for new items.")] = False,
    run: RunOption = None,
    by: ByOption = None,
    home: HomeOption = None,
    json: output.JsonOption = False,
) -> None:
    """Answer what waits for a person: audits, questions, deeds.

    Without a command: the desk. It shows the oldest item, takes one key (? lists them), asks for
    what belongs to it, and goes on to the next. With --json it is shown on stderr, and what was
    answered comes on stdout at the end.
    """
    if ctx.invoked_subcommand is not None:
        if wait or json or any(given is not None for given in (run, by, home)):
            raise BadInput(f"write options after the command: audit {ctx.invoked_subcommand} …")
        return
    if not (sys.stdin.isatty() and (sys.stderr if json else sys.stdout).isatty()):
        raise BadInput("the desk needs a terminal; in scripts use audit list, show and score")
    from rich.console import Console

    from monastery.runtime.cli.audit_desk import Desk
    from monastery.runtime.cli.audit_dig import Digs
    from monastery.runtime.cli.audit_terminal import RealTerminal

    console = Console(stderr=json, markup=False, highlight=False, emoji=False)
    with sitting(home, by) as seat:
        only = None if run is None else find_run(seat.book, run).run
        terminal = RealTerminal(console)
        digs = None if json else Digs(seat.book.home, seat.caller.name)
        desk = Desk(seat, terminal, wait=wait, run=only, digs=digs)
        with terminal.keys():
            desk.sit()
        answered = [seat.book.item(given.item).item.run for given in desk.answered]
        _say_what_goes_on(seat.book, answered)
    if json:
        output.as_json([_told(answer) for answer in desk.answered])


@app.command("list", epilog="Example: monastery audit list --json")
def list_items(
    every: Annotated[
        bool, typer.Option("--all", help="Also items that are no longer open.")
    ] = False,
    run: RunOption = None,
    home: HomeOption = None,
    json: output.JsonOption = False,
) -> None:
    """List the items that wait, the oldest first."""
    with sitting(home, None) as seat:
        only = None if run is None else find_run(seat.book, run).run
        items = seat.book.items(state=None if every else "open", run=only)
        items = handed.listed(seat.book, items, seat.caller.name)
        found = [(one, audit_view.state(seat.book, one)) for one in items]
    if not every:
        found = [(one, now) for one, now in found if now == "open"]
    if json:
        output.as_json([audit_view.line(one, now) for one, now in found])
    elif not found:
        output.line("no items" if every else "nothing waits for an answer")
    else:
        output.table(
            ("ITEM", "PURPOSE", "FOR", "KIND", "STATE", "EXPIRES"),
            [
                (
                    visible_line(one.item.id),
                    one.item.purpose,
                    visible_line(str(one.item.body.get("for", ""))),
                    visible_line(str(one.item.body.get("kind", ""))),
                    now,
                    output.when(one.item.deadline) if one.item.deadline else "never",
                )
                for one, now in found
            ],
        )


@app.command("next", epilog="Example: monastery audit next --json --by judge")
def take_next(
    run: RunOption = None,
    full: FullOption = False,
    by: ByOption = None,
    home: HomeOption = None,
    json: output.JsonOption = False,
) -> None:
    """Take the oldest item that you may answer, and show it. It is yours for twenty minutes."""
    with sitting(home, by) as seat:
        only = None if run is None else find_run(seat.book, run).run
        sheet = seat.take(only)
        if isinstance(sheet, Refused) and json:
            output.as_json({"item": None})
        elif isinstance(sheet, Refused):
            output.line("nothing waits for your answer")
        else:
            _show(sheet, full=full, json=json)


@app.command(epilog="Example: monastery audit show ID --raw | sha256sum")
def show(
    item: ItemArgument,
    raw: Annotated[
        bool, typer.Option("--raw", help="The exact bytes of the payload, or of the evidence.")
    ] = False,
    evidence: Annotated[
        str | None, typer.Option(metavar="NAME", help="A piece of evidence.", show_default=False)
    ] = None,
    reasons: Annotated[
        bool,
        typer.Option(
            "--reasons",
            help="Only what the agent says for it and printed; after your first vote.",
        ),
    ] = False,
    full: FullOption = False,
    by: ByOption = None,
    home: HomeOption = None,
    json: output.JsonOption = False,
) -> None:
    """Show an item, without taking it. The first vote is blind.

    What the agent says for its step, and what it printed while it thought, are shown once you have
    voted on the step alone; at a gate at once. What cannot be seen is written as its code point,
    such as ‹U+001B›.
    """
    if raw and (json or sys.stdout.isatty()):
        raise BadInput("--raw bytes go to a pipe or a file, and not with --json")
    with sitting(home, by) as seat:
        stored = handed.find(seat.book, item, seat.caller.name)
        now = audit_view.state(seat.book, stored)
        sheet = None
        if now == "open":
            looked = seat.look(stored.item.id)
            if isinstance(looked, Refused) and looked.why == "taken":
                now = "taken"
            else:
                sheet = audit_answers.expected(looked)
        step = seat.blind(stored) if sheet is None else sheet.step
    if reasons:
        _show_reasons(step, None if sheet is None else sheet.reasons, full=full, json=json)
    elif evidence is not None:
        _show_evidence(step, evidence, raw=raw, full=full, json=json)
    elif raw:
        _write(audit_view.payload(step))
    elif sheet is not None:
        _show(sheet, full=full, json=json)
    elif json:
        output.as_json({"item": step.item, "state": now, "step": audit_view.as_json(step)})
    else:
        _page(step, None, full=full)
        taken = now == "taken"
        output.line("someone else has it" if taken else f"it is no longer open: {now}")


@app.command(
    epilog="Example: monastery audit score ID --decision reject --score 0.1 --note 'deletes tests'"
)
def score(
    item: ItemArgument,
    decision: Annotated[
        str,
        typer.Option(metavar="WORD", help="approve, modify, reject, escalate or terminate."),
    ],
    score: Annotated[
        float | None,
        typer.Option(metavar="0-1", help="How reasonable it looks; not at a gate."),
    ] = None,
    note: Annotated[str, typer.Option(help="Why, for the record.")] = "",
    payload: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The bytes to use instead, with modify; - for stdin."),
    ] = None,
    stage: Annotated[
        str,
        typer.Option(metavar="WORD", help="Which vote: first, or second, after the reasons."),
    ] = "first",
    slip: SlipOption = None,
    by: ByOption = None,
    home: HomeOption = None,
    json: output.JsonOption = False,
) -> None:
    """Vote on an audit, or decide at a gate.

    An audit takes two votes: the first on the step alone, whose score is the reward; the second,
    after the reasons, whose decision is the gate's. A project may leave the second out.
    """
    if stage not in ("first", "second"):
        raise BadInput(f"--stage {stage!r} is no vote; write first or second")
    with sitting(home, by) as seat:
        asked = question_of(handed.find(seat.book, item, seat.caller.name).item)
        modified = None if payload is None else _read(payload)
        said = audit_answers.decision(asked, decision, score=score, note=note, modified=modified)
        _send(
            seat, asked, said, stage=cast("Literal['first', 'second']", stage), slip=slip, json=json
        )


@app.command(epilog="Example: monastery audit answer ID --status done --content 'sent at noon'")
def answer(
    item: ItemArgument,
    content: Annotated[str, typer.Option(metavar="TEXT", help="The answer, or what came of it.")],
    status: Annotated[
        str | None,
        typer.Option(metavar="WORD", help="done or failed; a question needs none."),
    ] = None,
    slip: SlipOption = None,
    by: ByOption = None,
    home: HomeOption = None,
    json: output.JsonOption = False,
) -> None:
    """Say what came of a deed, answer a question, or say whether a step was done."""
    with sitting(home, by) as seat:
        asked = question_of(handed.find(seat.book, item, seat.caller.name).item)
        said = audit_answers.report(asked, status, content)
        _send(seat, asked, said, stage="first", slip=slip, json=json)


@app.command(epilog="Example: monastery audit skip ID --reason 'I wrote this file myself'")
def skip(
    item: ItemArgument,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why you leave it to others.")],
    by: ByOption = None,
    home: HomeOption = None,
    json: output.JsonOption = False,
) -> None:
    """Leave an item to others, for good."""
    with sitting(home, by) as seat:
        found = handed.find(seat.book, item, seat.caller.name).item.id
        audit_answers.expected(seat.pass_over(found, reason))
    if json:
        output.as_json({"skipped": found})
    else:
        output.line(f"{visible_line(found)} is left to others")


def _send(
    seat: Seat,
    asked: Question,
    said: dict[str, Any],
    *,
    stage: Literal["first", "second"],
    slip: str | None,
    json: bool,
) -> None:
    voted = audit_answers.expected(seat.say(asked.item, said, stage=stage, slip=slip))
    by, again = seat.caller.name, "; it came before, and counts once" if voted.again else ""
    if json:
        told = {"item": asked.item, "by": by, "at": voted.ballot.at, "stage": voted.ballot.stage}
        output.as_json({**told, "final": voted.final, "again": voted.again, "body": said})
    elif voted.final:
        output.line(f"{visible_line(asked.item)} is answered by {visible_line(by)}{again}")
        if seat.gone(asked.item) == HELD:
            output.line(HELD.text)
    else:
        output.line(
            f"the first vote of {visible_line(by)} on {visible_line(asked.item)} is kept{again}"
        )
        output.line("its reasons: audit show ID --reasons; then: audit score ID --stage second …")
    if voted.final:
        _say_what_goes_on(seat.book, [asked.run])


def _say_what_goes_on(store: Store, runs: Iterable[str]) -> None:
    """Say, of each run that waited for an answer and that nothing runs, how it goes on."""
    output.flush()
    for hint in sorted({hint for run in runs if (hint := again.after_answer(store, run))}):
        output.note(hint)


def _told(given: Answer) -> dict[str, Any]:
    return {"item": given.item, "by": given.by, "at": given.at, "body": given.body}


def _show(sheet: Sheet, *, full: bool, json: bool) -> None:
    """Show what someone has before them."""
    if json:
        output.as_json({"item": sheet.step.item, "state": "open", **audit_view.as_json(sheet)})
        return
    _page(sheet.step, sheet.reasons, full=full)
    if not sheet.last:
        output.line("first vote: on the step alone; then its reasons, and another vote")
    elif sheet.stage == "second":
        output.line("your first vote is kept; now the second: audit score ID --stage second …")


def _page(step: StepView, reasons: Reasons | None, *, full: bool) -> None:
    console = output.console()
    width = console.width if sys.stdout.isatty() else None
    text = audit_view.page(step, reasons, width=width, max_lines=None if full else _MOST_LINES)
    console.print(text, soft_wrap=True)


def _show_reasons(step: StepView, reasons: Reasons | None, *, full: bool, json: bool) -> None:
    if reasons is None:
        raise BadInput(
            f"item {step.item!r} shows its reasons to who has cast a first vote of two on it"
        )
    if json:
        output.as_json(audit_view.as_json(reasons))
    else:
        limit = None if full else _MOST_LINES
        output.console().print(audit_view.why(reasons, None, limit), soft_wrap=True)


def _show_evidence(step: StepView, name: str, *, raw: bool, full: bool, json: bool) -> None:
    files = {file.name: file.content for file in step.evidence}
    if name not in files:
        known = ", ".join(visible_line(repr(one)) for one in files) or "none"
        raise BadInput(f"item {step.item!r} has no evidence {name!r}; it has {known}")
    if raw:
        _write(files[name])
    elif json:
        output.as_json({"name": name, "base64": base64.b64encode(files[name]).decode()})
    elif full:
        output.line(visible(files[name], max_lines=None, max_columns=None))
    else:
        output.line(visible(files[name]))


def _read(path: Path) -> bytes:
    try:
        return sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    except OSError as exc:
        raise BadInput(f"cannot read {str(path)!r}: {exc.strerror}") from exc


def _write(content: bytes) -> None:
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()
