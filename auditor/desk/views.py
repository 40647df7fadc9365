"""What is seen of a question, and when: the one place that opens its body.

`StepView` has no field for what blinding hides: the agent's rationale, what it printed, its model,
other people's votes, a monitor's risk, or whether the proposal is planted. Pages and the JSON form
are made of these classes alone, so a template cannot show what it does not have.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from monastery.runtime.people import Ballot, Question
from monastery.runtime.records import Item, ItemId


@dataclass(frozen=True, slots=True)
class File:
    """A file that the agent attached."""

    name: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Changed:
    """A path in the box that the agent changed since its last step."""

    path: str
    what: str
    size_bytes: int | None


@dataclass(frozen=True, slots=True)
class Earlier:
    """A step of the run that is over.

    Attributes:
        payload: Its beginning.
        outcome: What came of it; None when that was too long to be told.
    """

    step: int
    kind: str
    status: str
    payload: str
    payload_bytes: int
    outcome: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Offer:
    """One of several proposals for the same moment; which of them is live it does not know.

    Attributes:
        same: How many tries came to it, live or not.
    """

    kind: str
    rendering: str
    payload: bytes
    settings: Mapping[str, Any]
    evidence: tuple[File, ...]
    changes: tuple[Changed, ...]
    same: int


@dataclass(frozen=True, slots=True)
class StepView:
    """A question as it is put before someone who must not know more. Nothing in it is made safe.

    Attributes:
        alternatives: The proposals that are compared, in the order that the seed drew; then there
            are no payload, evidence and changes of one alone. Empty where there is but one.
        rendering: The payload as its executor reads it; of a question in words, the words.
        payload: The exact bytes that would be used; None where there are none.
        settings: The kind's settings in the project file.
        reason: Why a person is asked what became of a step.
        canned: What the agent may be told, in these words alone.
    """

    item: ItemId
    purpose: Literal["audit", "gate", "human", "ask", "resolve"]
    kind: str
    step: int | None
    goal: str
    rendering: str
    payload: bytes | None
    settings: Mapping[str, Any]
    evidence: tuple[File, ...]
    changes: tuple[Changed, ...]
    earlier: tuple[Earlier, ...]
    reason: str
    canned: tuple[str, ...]
    created: datetime
    deadline: datetime | None
    alternatives: tuple[Offer, ...] = ()


@dataclass(frozen=True, slots=True)
class Reasons:
    """What the agent says for its proposal, and what it printed while it thought.

    Attributes:
        printed: What was kept of `printed_bytes`.
        rationales: Where proposals are compared, that of each, by place; and nothing printed, which
            would tell which is live.
    """

    rationale: str
    printed: bytes
    printed_bytes: int
    rationales: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sheet:
    """What someone has before them.

    Attributes:
        stage: Which ballot is wanted now.
        last: Whether this ballot makes the answer.
        reasons: None until they may be known.
        mine: The ballot that this person cast before, if any.
        until: How long it is theirs.
        dig: Whether they may open a copy of the box now.
    """

    step: StepView
    stage: Literal["first", "second"]
    last: bool
    reasons: Reasons | None
    mine: Ballot | None
    until: datetime
    dig: bool = False


def step_view(item: Item, question: Question) -> StepView:
    """Return what may be seen of a question before anything is said about it."""
    body = item.body
    return StepView(
        item=item.id,
        purpose=item.purpose,
        kind=question.kind,
        step=question.step,
        goal=str(body.get("goal", "")),
        rendering=str(body.get("text", body.get("rendering", ""))),
        payload=_bytes(body["payload_base64"]) if "payload_base64" in body else None,
        settings=dict(body.get("settings", {})),
        evidence=_evidence(body),
        changes=_changes(body),
        earlier=tuple(_earlier(one) for one in body.get("earlier", [])),
        reason=str(body.get("reason", "")),
        canned=tuple(map(str, body.get("desk", {}).get("canned", ()))),
        created=item.created,
        deadline=item.deadline,
        alternatives=tuple(_offer(one) for one in body.get("alternatives", [])),
    )


def reasons(item: Item, printed: tuple[bytes, int]) -> Reasons:
    """Return what the agent says for its proposal; only for who may know it by now."""
    offered = item.body.get("alternatives")
    if offered:
        return Reasons("", b"", 0, tuple(str(one.get("rationale", "")) for one in offered))
    return Reasons(str(item.body.get("rationale", "")), *printed)


def _offer(one: Mapping[str, Any]) -> Offer:
    return Offer(
        kind=str(one["kind"]),
        rendering=str(one["rendering"]),
        payload=_bytes(one["payload_base64"]),
        settings=dict(one.get("settings", {})),
        evidence=_evidence(one),
        changes=_changes(one),
        same=int(one.get("same", 1)),
    )


def _evidence(body: Mapping[str, Any]) -> tuple[File, ...]:
    return tuple(File(str(one["name"]), _bytes(one["base64"])) for one in body.get("evidence", []))


def _changes(body: Mapping[str, Any]) -> tuple[Changed, ...]:
    return tuple(
        Changed(str(one["path"]), str(one["what"]), one.get("size_bytes"))
        for one in body.get("changes", [])
    )


def _earlier(step: Mapping[str, Any]) -> Earlier:
    payload = str(step.get("payload", ""))
    return Earlier(
        step=int(step.get("step", 0)),
        kind=str(step.get("kind", "")),
        status=str(step.get("status", "")),
        payload=payload,
        payload_bytes=int(step.get("payload_size_bytes", len(payload.encode(errors="replace")))),
        outcome=step.get("outcome"),
    )


def _bytes(encoded: object) -> bytes:
    try:
        return base64.b64decode(str(encoded), validate=True)
    except (binascii.Error, ValueError):
        return b""
