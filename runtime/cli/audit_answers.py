"""What a person may answer, made into the body that the question's purpose wants."""

import base64
import getpass
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from monastery.auditor.desk.planting import is_held, recall_of
from monastery.runtime.desk_book import DeskBook
from monastery.runtime.errors import BadInput
from monastery.runtime.people import question_of
from monastery.runtime.records import Answer, Item

DECISIONS = {
    "audit": ("approve", "modify", "reject", "escalate", "terminate"),
    "gate": ("approve", "modify", "reject", "terminate"),
}
"""What can be decided of which purpose; who stands at the gate has nobody to pass it on to."""
STATUSES = {"human": ("done", "failed"), "resolve": ("done", "failed"), "ask": ("done",)}
_MOST_NOTE = 100_000


def login_name() -> str:
    """Return who sits at this terminal, as far as it knows."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def decision(
    item: Item, decided: str, *, score: float | None, note: str, modified: bytes | None
) -> dict[str, Any]:
    """Return the body of an answer to an audit or a gate.

    Raises:
        BadInput: The question wants something else.
    """
    if item.purpose not in DECISIONS:
        raise BadInput(f"item {item.id!r} wants no decision; use: monastery audit answer {item.id}")
    allowed = DECISIONS[item.purpose]
    if decided not in allowed:
        raise BadInput(f"{decided!r} is no decision here; it is one of {', '.join(allowed)}")
    if (decided == "modify") != (modified is not None):
        raise BadInput("a payload goes with modify, and modify with a payload")
    body: dict[str, Any] = {"decision": decided, "note": _clean("note", note)}
    if item.purpose == "audit":
        if score is None:
            raise BadInput(f"item {item.id!r} is an audit and wants a score, 0 to 1")
        if not (math.isfinite(score) and 0.0 <= score <= 1.0):
            raise BadInput(f"{score!r} is no score; it goes from 0 to 1")
        body["score"] = score
    elif score is not None:
        raise BadInput(f"item {item.id!r} is a gate; it wants a decision and no score")
    if modified is not None:
        body["modified_base64"] = base64.b64encode(modified).decode()
    if "digest" in item.body:
        body["digest"] = item.body["digest"]
    return body


def report(item: Item, status: str | None, content: str) -> dict[str, Any]:
    """Return the body of an answer to a deed, a question, or a step of unknown outcome.

    Raises:
        BadInput: The question wants something else.
    """
    if item.purpose not in STATUSES:
        raise BadInput(f"item {item.id!r} wants a decision; use: monastery audit score {item.id}")
    allowed = STATUSES[item.purpose]
    told = _clean("content", content)
    if item.purpose == "ask":
        if status not in (None, "done"):
            raise BadInput(f"item {item.id!r} is a question: answer it, or leave it to expire")
        if not told.strip():
            raise BadInput(f"item {item.id!r} is a question; its answer is empty")
        return {"content": told}
    if status not in allowed:
        raise BadInput(f"item {item.id!r} wants --status, one of {', '.join(allowed)}")
    return {"status": status, "content": told}


def not_held(home: Path, item: Item, by: str) -> None:
    """Refuse a vote of somebody whose votes go to an adjudicator, which the browser's desk sees to.

    Raises:
        BadInput: Their recall of planted steps is below the floor of the item's project.
    """
    floor = question_of(item).floor
    if item.purpose != "audit" or floor == 0.0:
        return
    with DeskBook.open(home) as book:
        held = is_held(recall_of(book.judged(by)), floor)
    if held:
        raise BadInput(
            f"votes of {by!r} go to an adjudicator, for too many planted steps were judged wrongly;"
            " vote in the browser: monastery serve"
        )


def signed(item: Item, by: str, body: dict[str, Any]) -> Answer:
    """Return an answer that is given now.

    Raises:
        BadInput: The name is blank.
    """
    if not by.strip():
        raise BadInput("an answer needs the name of who gives it: --by NAME")
    return Answer(item.id, _clean("name", by), datetime.now(UTC), body)


def _clean(what: str, text: str) -> str:
    """Return a text that came from a command line or a terminal, if it is one."""
    if len(text) > _MOST_NOTE:
        raise BadInput(f"the {what} has {len(text)} characters, allowed are {_MOST_NOTE}")
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        raise BadInput(f"the {what} is not UTF-8 text") from exc
    return text
