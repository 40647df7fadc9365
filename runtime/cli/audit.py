"""`monastery audit`: the desk, where questions wait for people; for keys and for scripts."""

import base64
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from monastery.runtime.cli import again, audit_answers, audit_view, output
from monastery.runtime.cli.home import HomeOption, find_run, open_store
from monastery.runtime.display import visible, visible_line
from monastery.runtime.errors import BadInput
from monastery.runtime.records import Answer, Item
from monastery.runtime.store import Store

app = typer.Typer(rich_markup_mode=None, add_completion=False, invoke_without_command=True)

ByOption = Annotated[
    str | None,
    typer.Option("--by", metavar="NAME", help="Who answers. Default: the login name."),
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
def desk(
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
    name = audit_answers.login_name() if by is None else by
    with open_store(home) as store:
        only = None if run is None else find_run(store, run).run
        terminal = RealTerminal(console)
        digs = None if json else Digs(store.home, name)
        sitting = Desk(store, terminal, name, wait=wait, run=only, digs=digs)
        with terminal.keys():
            sitting.sit()
        answered = [store.item(given.item).item.run for given in sitting.answered]
        _say_what_goes_on(store, answered)
    if json:
        output.as_json([_told(answer) for answer in sitting.answered])


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
    with open_store(home) as store:
        only = None if run is None else find_run(store, run).run
        found = [
            (one, audit_view.state(store, one))
            for one in store.items(state=None if every else "open", run=only)
        ]
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


@app.command(epilog="Example: monastery audit show ID --raw | sha256sum")
def show(
    item: ItemArgument,
    raw: Annotated[
        bool, typer.Option("--raw", help="The exact bytes of the payload, or of the evidence.")
    ] = False,
    evidence: Annotated[
        str | None, typer.Option(metavar="NAME", help="A piece of evidence.", show_default=False)
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Shorten nothing.")] = False,
    home: HomeOption = None,
    json: output.JsonOption = False,
) -> None:
    """Show an item. What cannot be seen is written as its code point, such as ‹U+001B›."""
    if raw and (json or sys.stdout.isatty()):
        raise BadInput("--raw bytes go to a pipe or a file, and not with --json")
    with open_store(home) as store:
        found = audit_view.find(store, item)
        now = audit_view.state(store, found)
    if evidence is not None:
        _show_evidence(found.item, evidence, raw=raw, full=full, json=json)
    elif raw:
        _write(audit_view.payload(found.item))
    elif json:
        output.as_json({**audit_view.line(found, now), "body": found.item.body})
    else:
        console = output.console()
        width = console.width if sys.stdout.isatty() else None
        limit = None if full else 400
        console.print(audit_view.page(found.item, width=width, max_lines=limit), soft_wrap=True)
        if now != "open":
            output.line(f"it is no longer open: {now}")


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
    by: ByOption = None,
    home: HomeOption = None,
    json: output.JsonOption = False,
) -> None:
    """Vote on an audit, or decide at a gate."""
    with open_store(home) as store:
        found = audit_view.find(store, item).item
        modified = None if payload is None else _read(payload)
        body = audit_answers.decision(found, decision, score=score, note=note, modified=modified)
        _send(store, found, by, body, json=json)


@app.command(epilog="Example: monastery audit answer ID --status done --content 'sent at noon'")
def answer(
    item: ItemArgument,
    content: Annotated[str, typer.Option(metavar="TEXT", help="The answer, or what came of it.")],
    status: Annotated[
        str | None,
        typer.Option(metavar="WORD", help="done or failed; a question needs none."),
    ] = None,
    by: ByOption = None,
    home: HomeOption = None,
    json: output.JsonOption = False,
) -> None:
    """Say what came of a deed, answer a question, or say whether a step was done."""
    with open_store(home) as store:
        found = audit_view.find(store, item).item
        _send(store, found, by, audit_answers.report(found, status, content), json=json)


def _send(store: Store, item: Item, by: str | None, body: dict[str, Any], *, json: bool) -> None:
    given = audit_answers.signed(item, audit_answers.login_name() if by is None else by, body)
    store.answer(given)
    if json:
        output.as_json(_told(given))
    else:
        output.line(f"{visible_line(item.id)} is answered by {visible_line(given.by)}")
    _say_what_goes_on(store, [item.run])


def _say_what_goes_on(store: Store, runs: Iterable[str]) -> None:
    """Say, of each run that waited for an answer and that nothing runs, how it goes on."""
    output.flush()
    for hint in sorted({hint for run in runs if (hint := again.after_answer(store, run))}):
        output.note(hint)


def _told(given: Answer) -> dict[str, Any]:
    return {"item": given.item, "by": given.by, "at": given.at, "body": given.body}


def _show_evidence(item: Item, name: str, *, raw: bool, full: bool, json: bool) -> None:
    files = audit_view.evidence(item)
    if name not in files:
        known = ", ".join(visible_line(repr(one)) for one in files) or "none"
        raise BadInput(f"item {item.id!r} has no evidence {name!r}; it has {known}")
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
