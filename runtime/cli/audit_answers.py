"""What a person may answer, made into what the question's purpose wants said."""

import base64
import getpass
import math
from datetime import UTC, datetime
from typing import Any, TypeVar

from monastery.auditor.desk.rules import Refused
from monastery.runtime.errors import BadInput
from monastery.runtime.people import Question
from monastery.runtime.records import Answer, Item

DECISIONS = {
    "audit": ("approve", "modify", "reject", "escalate", "terminate"),
    "gate": ("approve", "modify", "reject", "terminate"),
}
"""What can be decided of which purpose; who stands at the gate has nobody to pass it on to."""
STATUSES = {"human": ("done", "failed"), "resolve": ("done", "failed"), "ask": ("done",)}
_MOST_NOTE = 100_000
Told = TypeVar("Told")


def login_name() -> str:
    """Return who sits at this terminal, as far as it knows."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def decision(
    question: Question, decided: str, *, score: float | None, note: str, modified: bytes | None
) -> dict[str, Any]:
    """Return the body of an answer to an audit or a gate.

    Raises:
        BadInput: The question wants something else.
    """
    if question.alternatives:
        raise BadInput(
            f"item {question.item!r} compares {question.alternatives} proposals: judge them in"
            " `monastery audit` or in `monastery serve`"
        )
    if question.purpose not in DECISIONS:
        raise BadInput(
            f"item {question.item!r} wants no decision; use: monastery audit answer {question.item}"
        )
    allowed = DECISIONS[question.purpose]
    if decided not in allowed:
        raise BadInput(f"{decided!r} is no decision here; it is one of {', '.join(allowed)}")
    if (decided == "modify") != (modified is not None):
        raise BadInput("a payload goes with modify, and modify with a payload")
    body: dict[str, Any] = {"decision": decided, "note": _clean("note", note)}
    if question.purpose == "audit":
        if score is None:
            raise BadInput(f"item {question.item!r} is an audit and wants a score, 0 to 1")
        if not (math.isfinite(score) and 0.0 <= score <= 1.0):
            raise BadInput(f"{score!r} is no score; it goes from 0 to 1")
        body["score"] = score
    elif score is not None:
        raise BadInput(f"item {question.item!r} is a gate; it wants a decision and no score")
    if modified is not None:
        body["modified_base64"] = base64.b64encode(modified).decode()
    return body


def compared(given: list[dict[str, Any]], *, note: str) -> dict[str, Any]:
    """Return the body of an answer to an audit that compares proposals."""
    return {"alternatives": given, "note": _clean("note", note)}


def report(question: Question, status: str | None, content: str) -> dict[str, Any]:
    """Return the body of an answer to a deed, a question, or a step of unknown outcome.

    Raises:
        BadInput: The question wants something else.
    """
    if question.purpose not in STATUSES:
        raise BadInput(
            f"item {question.item!r} wants a decision; use: monastery audit score {question.item}"
        )
    allowed = STATUSES[question.purpose]
    told = _clean("content", content)
    if question.purpose == "ask":
        if status not in (None, "done"):
            raise BadInput(
                f"item {question.item!r} is a question: answer it, or leave it to expire"
            )
        if not told.strip():
            raise BadInput(f"item {question.item!r} is a question; its answer is empty")
        return {"content": told}
    if status not in allowed:
        raise BadInput(f"item {question.item!r} wants --status, one of {', '.join(allowed)}")
    return {"status": status, "content": told}


def signed(item: Item, by: str, body: dict[str, Any]) -> Answer:
    """Return an answer that is given now.

    Raises:
        BadInput: The name is blank.
    """
    return Answer(item.id, name(by), datetime.now(UTC), body)


def expected(told: Told | Refused) -> Told:
    """Return what the desk says, unless it refuses.

    Raises:
        BadInput: It refuses; the message is its line.
    """
    if isinstance(told, Refused):
        raise BadInput(told.text)
    return told


def name(by: str) -> str:
    """Return the name of who answers.

    Raises:
        BadInput: It is blank.
    """
    if not by.strip():
        raise BadInput("an answer needs the name of who gives it: --by NAME")
    return _clean("name", by)


def _clean(what: str, text: str) -> str:
    """Return a text that came from a command line or a terminal, if it is one."""
    if len(text) > _MOST_NOTE:
        raise BadInput(f"the {what} has {len(text)} characters, allowed are {_MOST_NOTE}")
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        raise BadInput(f"the {what} is not UTF-8 text") from exc
    return text
