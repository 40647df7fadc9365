"""What may be said to a question, and the answer that a person's ballots make. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from monastery.auditor.desk.rules import Refused
from monastery.auditor.votes import Base64, ComparedMessage, Strict, VoteMessage, fault
from monastery.runtime.people import Ballot, Dig, Question
from monastery.runtime.planted import Held
from monastery.runtime.records import Answer, Item

MOST_NOTE = 100_000
Note = Annotated[str, Field(max_length=MOST_NOTE)]


@dataclass(frozen=True, slots=True)
class Given:
    """What came from a page or a program. Untrusted.

    Attributes:
        stage: The ballot that the page asked for.
        slip: Names the page: sent twice, it is one ballot.
        said: The fields of a vote or a report.
        by_hand: Whether eyes and fingers had a part in it, which need a moment.
    """

    stage: Literal["first", "second"]
    slip: str
    said: Mapping[str, Any]
    by_hand: bool = True


class _Decision(Strict):
    """What stands at the gate: no score."""

    decision: Literal["approve", "modify", "reject", "terminate"]
    note: Note = ""
    modified_base64: Base64 | None = None


class _Report(Strict):
    """What came of a deed, or of a step of unknown outcome."""

    status: Literal["done", "failed"]
    content: Note = ""


class _Reply(Strict):
    """The answer to a question in words."""

    content: Annotated[str, Field(min_length=1, max_length=MOST_NOTE, pattern=r"\S")]


_SHAPES: Mapping[str, type[Strict]] = {
    "audit": VoteMessage,
    "gate": _Decision,
    "human": _Report,
    "resolve": _Report,
    "ask": _Reply,
}


def fault_of(question: Question, said: Mapping[str, Any]) -> Refused | None:
    """Return what is wrong with what someone said, if anything is."""
    try:
        shape = ComparedMessage if question.alternatives else _SHAPES[question.purpose]
        shaped = shape.model_validate(dict(said))
    except ValidationError as exc:
        return Refused("invalid", f"Nothing was sent: {fault(exc)}.")
    if isinstance(shaped, ComparedMessage) and len(shaped.alternatives) != question.alternatives:
        given, wanted = len(shaped.alternatives), question.alternatives
        return Refused("invalid", f"Nothing was sent: {given} of {wanted} proposals were judged.")
    if isinstance(shaped, _Decision):
        modifies = shaped.modified_base64 is not None
        if (shaped.decision == "modify") != modifies:
            return Refused("invalid", "Nothing was sent: other bytes go with modify alone.")
    try:
        str(dict(said)).encode()
    except UnicodeEncodeError:
        return Refused("invalid", "Nothing was sent: the text holds half a surrogate pair.")
    return None


def answer(
    item: Item,
    cast: Sequence[Ballot],
    *,
    at: datetime,
    due: datetime | None,
    held: Held | None = None,
    digs: Sequence[Dig] = (),
) -> Answer:
    """Return the answer that a person's ballots on a question make.

    The score is that of the first ballot, which was blind: no rationale can earn a reward. All else
    is the last one's: what is carried out is decided by someone who knows everything. Where
    proposals are compared, so it is with each.

    Args:
        item: The question.
        cast: The ballots that count, in the order in which they were cast; at least one.
        at: When the last was cast.
        due: From when on it may be taken.
        held: The vote that was kept from the run, in whose place this one comes.
        digs: The shells that they had in copies of the box; the record commits to the recordings.
    """
    body = dict(cast[-1].body)
    staged = any(one.stage == "second" for one in cast)
    if staged and "score" in cast[0].body:
        body["score"] = cast[0].body["score"]
    if staged and "alternatives" in cast[0].body:
        both = zip(body["alternatives"], cast[0].body["alternatives"], strict=True)
        body["alternatives"] = [{**last, "score": first["score"]} for last, first in both]
    if "digest" in item.body:
        body["digest"] = item.body["digest"]
    body["desk"] = {"ballots": [_told(one) for one in cast]}
    if held is not None:
        said = held.body.get("desk", {}).get("ballots", [])
        body["desk"]["held"] = {"by": held.person, "at": held.at.isoformat(), "ballots": said}
    if digs:
        body["desk"]["digs"] = [_dug(one) for one in digs]
    return Answer(item.id, cast[-1].person, at, body, due)


def _dug(dig: Dig) -> dict[str, Any]:
    """Return a dig as the record names it; one that lasts has no hash yet."""
    seconds = None if dig.ended is None else (dig.ended - dig.began).total_seconds()
    return {
        "dig": dig.dig,
        "stage": dig.stage,
        "of": dig.of,
        "at": dig.began.isoformat(),
        "seconds": None if seconds is None else round(seconds, 3),
        "sha256": dig.sha256 or None,
    }


def _told(ballot: Ballot) -> dict[str, Any]:
    return {
        "stage": ballot.stage,
        "at": ballot.at.isoformat(),
        "seconds": round(ballot.seconds, 3),
        **ballot.body,
    }
