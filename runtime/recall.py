"""What the journal holds already, as the nouns that the loop works with.

After a crash these answers stand in for the deeds that gave them, so that nothing is done twice.
"""

import json
from typing import Any

from monastery.runtime.content import ERASED
from monastery.runtime.errors import Erased
from monastery.runtime.events import BlobRef
from monastery.runtime.records import (
    AuditResult,
    Change,
    Decision,
    EarlierStep,
    Evidence,
    Outcome,
    Proposal,
    Scored,
    SegmentId,
    Sha256,
    Unmeasured,
    Vote,
)
from monastery.runtime.store import Store
from monastery.runtime.story import SegmentStory


def proposal(store: Store, told: SegmentStory) -> Proposal | None:
    """Return the segment's recorded proposal."""
    event = told.proposal
    if event is None:
        return None
    return Proposal(
        segment=SegmentId(event.segment),
        index=told.index,
        kind=event.kind,
        payload=store.blob(event.payload.ref),
        rationale=store.blob(event.rationale.ref).decode(),
        evidence=tuple(Evidence(one.name, store.blob(one.ref)) for one in event.evidence),
        changes=tuple(Change(one.path, one.what, one.size_bytes) for one in event.changes),
        digest=Sha256(event.digest),
    )


def alternative(store: Store, told: SegmentStory, name: str) -> Proposal:
    """Return what one of the segment's rollouts proposed."""
    event = told.alternatives[name].proposal
    assert event is not None, "what is shown was proposed"
    return Proposal(
        segment=SegmentId(name),
        index=told.index,
        kind=event.kind,
        payload=store.blob(event.payload.ref),
        rationale=store.blob(event.rationale.ref).decode(),
        evidence=tuple(Evidence(one.name, store.blob(one.ref)) for one in event.evidence),
        changes=tuple(Change(one.path, one.what, one.size_bytes) for one in event.changes),
        digest=Sha256(event.digest),
    )


def votes(store: Store, told: SegmentStory) -> list[Vote]:
    """Return the segment's recorded votes."""
    return [
        Vote(
            auditor=event.auditor,
            decision=event.decision,
            score=event.score,
            note=event.note,
            modified=_content(store, event.modified),
            scores=tuple(event.scores),
        )
        for event in told.votes
    ]


def result(store: Store, told: SegmentStory) -> AuditResult | None:
    """Return what the segment's audit found."""
    if told.unmeasured is not None:
        return Unmeasured(told.unmeasured.reason, expired=told.unmeasured.expired)
    event = told.scored
    if event is None:
        return None
    modified = _content(store, event.modified)
    return Scored(
        event.score,
        event.decision,
        Sha256(event.seen),
        modified,
        event.note,
        tuple(event.scores),
    )


def decision(store: Store, told: SegmentStory) -> Decision | None:
    """Return what the gate decided on the segment's proposal."""
    event = told.decision
    if event is None:
        return None
    return Decision(event.verdict, event.by, _content(store, event.payload), event.feedback)


def outcome(store: Store, told: SegmentStory) -> Outcome | None:
    """Return what came of the segment's step."""
    event = told.completed
    if event is None:
        return None
    return Outcome(event.status, json.loads(store.blob(event.content.ref)))


def earlier_step(store: Store, told: SegmentStory) -> EarlierStep:
    """Return a completed segment's step: the bytes that were used, and what came of them.

    Where they were erased it says so.
    """
    proposed, completed = told.proposal, told.completed
    assert proposed is not None
    assert completed is not None, f"segment {told.id} is not over"
    used = told.decision.payload if told.decision is not None else None
    payload = kept(store, (used or proposed.payload).ref)
    content = kept_json(store, completed.content.ref)
    return EarlierStep(told.index, proposed.kind, payload, completed.status, content)


def kept(store: Store, ref: str) -> bytes:
    """Return a content by its name, or that it was erased."""
    try:
        return store.blob(ref)
    except Erased:
        return ERASED


def kept_json(store: Store, ref: str) -> Any:
    """Return the JSON value in a content, or that it was erased."""
    try:
        return json.loads(store.blob(ref))
    except Erased:
        return {"erased": True}


def _content(store: Store, ref: BlobRef | None) -> bytes | None:
    return None if ref is None else store.blob(ref.ref)
