"""`monastery resolve`: a person says what became of a step whose outcome nobody knows."""

from typing import Annotated, Any

import trio
import typer

from monastery.auditor.desk.views import step_view
from monastery.runtime import tend
from monastery.runtime.cli import again, audit_answers, audit_view, output
from monastery.runtime.cli.home import HomeOption, RunArgument, find_run, open_store
from monastery.runtime.cli.rendering import NoDesk, executors, rendering
from monastery.runtime.cli.run import recorded_project
from monastery.runtime.display import visible_line
from monastery.runtime.errors import BadInput
from monastery.runtime.people import question_of
from monastery.runtime.records import Item
from monastery.runtime.rows import RunRow
from monastery.runtime.store import Store

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command(
    epilog="Examples: monastery resolve last; monastery resolve last --done 'the mail is in Sent'. "
    "Exit codes: 0 done, 2 bad input, or no outcome of this run is unknown."
)
def resolve(
    run: RunArgument,
    done: Annotated[
        str | None, typer.Option("--done", metavar="TEXT", help="It was done; how you know.")
    ] = None,
    failed: Annotated[
        str | None, typer.Option("--failed", metavar="TEXT", help="It was not done, or failed.")
    ] = None,
    by: Annotated[
        str | None, typer.Option("--by", metavar="NAME", help="Who says so. Default: login name.")
    ] = None,
    home: HomeOption = None,
    json: output.JsonOption = False,
) -> None:
    """Say what became of a step whose outcome nobody knows.

    Also when nothing runs the run. A step was begun and the runtime died, or its executor cannot
    tell: then the step is never simply done again. Find out in the world, and say. Without --done
    or --failed: show the step. What you say is kept until the run goes on, and is the outcome that
    the agent is told.
    """
    if done is not None and failed is not None:
        raise BadInput("--done and --failed exclude each other; leave one out")
    with open_store(home) as store:
        row = find_run(store, run)
        item = _asked(store, row)
        if done is None and failed is None:
            _show(store, row, item, json=json)
            return
        status, text = ("done", done) if done is not None else ("failed", failed)
        name = audit_answers.login_name() if by is None else by
        body = audit_answers.report(question_of(item), status, text or "")
        answer = audit_answers.signed(item, name, body)
        store.answer(answer)
        if json:
            output.as_json({"item": item.id, "by": answer.by, "at": answer.at, "body": body})
        else:
            output.line(f"step {item.body['step']} of {row.run} is {status}")
        hint = again.after_answer(store, row.run)
        if hint is not None:
            output.note(hint)


def _asked(store: Store, row: RunRow) -> Item:
    """Return the question what became of the run's step, put by this command if by nobody yet."""
    for stored in store.items(run=row.run):
        if stored.item.purpose == "resolve":
            earlier = store.answered(stored.item.id)
            if earlier is not None:
                hint = again.after_answer(store, row.run) or "its run will take it"
                raise BadInput(f"item {stored.item.id!r} was answered by {earlier.by!r}; {hint}")
            return stored.item
    if row.status in ("done", "failed"):
        raise BadInput(f"run {row.run!r} is over ({row.status})")
    loaded = recorded_project(store, row)
    known = executors(loaded, NoDesk())

    async def ask() -> Item:
        return await tend.ask_what_became(
            store,
            row,
            loaded,
            lambda kind, payload: rendering(known, kind, payload),
            trio.to_thread.run_sync,
        )

    return trio.run(ask)


def _show(store: Store, row: RunRow, item: Item, *, json: bool) -> None:
    if json:
        shown: dict[str, Any] = audit_view.line(store.item(item.id), "open")
        output.as_json({**shown, "body": item.body})
        return
    step = step_view(item, question_of(item))
    output.console().print(audit_view.page(step, None, width=None, max_lines=400), soft_wrap=True)
    command = f"monastery resolve {row.run}{again.home_option(store)} --done TEXT"
    output.line(visible_line(f"say: {command}, or --failed TEXT"))
