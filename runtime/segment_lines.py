"""Segment lines: a JSON object for each think segment, as `monastery export --to jsonl` writes it.

A line has two halves. `context` is fixed: the earlier steps and what came of them, and what each
model call was given. `trainable` is what the policy did in this one segment: its answers, what its
agent printed, and the proposal. What came of the proposal is in no line before the next segment's
context. A segment that was not audited, or whose audit did not measure, has reward null, which is
not 0.
"""

import base64
from collections.abc import Iterable, Iterator
from typing import Any

from monastery.runtime import recall
from monastery.runtime.content import ERASED
from monastery.runtime.errors import Erased
from monastery.runtime.events import AlternativeProposed, BlobRef, ModelCalled, ProposalFrozen
from monastery.runtime.records import EarlierStep, RunId
from monastery.runtime.store import Store
from monastery.runtime.story import AlternativeStory, SegmentStory, tell

FORMAT = "monastery.segment.v1"


def export_lines(store: Store, run: RunId | str) -> Iterator[dict[str, Any]]:
    """Yield a run's segments in order, as JSON objects.

    Raises:
        StoreError: The journal cannot be read.
    """
    past: list[dict[str, Any]] = []
    for told in tell(store, run).segments:
        calls = answered(told.calls)
        yield {
            "format": FORMAT,
            "run": str(run),
            "segment": told.id,
            "index": told.index,
            "boundary": told.boundary,
            "context": {
                "earlier": list(past),
                "requests": [recall.kept_json(store, call.request.ref) for call in calls],
            },
            "trainable": {
                "responses": [recall.kept_json(store, call.response.ref) for call in calls],
                "printed": printed(store, told),
                "proposal": proposed(store, told),
            },
            **_earned(told),
        }
        if told.completed is not None:
            past.append(past_step(recall.earlier_step(store, told)))


def answered(calls: Iterable[ModelCalled]) -> list[ModelCalled]:
    """Return the calls that a policy answered, and whose answers the agent had.

    What was refused no policy answered, what failed was answered by an error, and what was
    cancelled the agent never had.
    """
    return [
        call
        for call in calls
        if call.refused is None and not call.cancelled and (call.status or 200) < 400
    ]


def text_or_base64(content: bytes) -> dict[str, str]:
    """Return bytes as ``{"text": …}`` where they are UTF-8, else as ``{"base64": …}``."""
    try:
        return {"text": content.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(content).decode()}


def _earned(told: SegmentStory) -> dict[str, Any]:
    reward, drawn, unmeasured = told.reward, told.drawn, told.unmeasured
    return {
        "audited": drawn.audited if drawn is not None else None,
        "probability": drawn.probability if drawn is not None else None,
        "score": reward.score if reward is not None else None,
        "weight": reward.weight if reward is not None else None,
        "reward": reward.value if reward is not None else None,
        "unmeasured": unmeasured.reason if unmeasured is not None else None,
        "seen": reward.seen if reward is not None else None,
    }


def proposed(store: Store, told: SegmentStory) -> dict[str, Any] | None:
    """Return what the segment proposed, as a JSON object; None when it ended without."""
    return None if told.proposal is None else _proposed(store, told.proposal)


def proposed_alternative(store: Store, one: AlternativeStory) -> dict[str, Any] | None:
    """Return what a rollout proposed, likewise."""
    return None if one.proposal is None else _proposed(store, one.proposal)


def _proposed(store: Store, proposal: ProposalFrozen | AlternativeProposed) -> dict[str, Any]:
    return {
        "kind": proposal.kind,
        "payload": _text(store, proposal.payload),
        "rationale": recall.kept(store, proposal.rationale.ref).decode(),
        "digest": proposal.digest,
    }


def printed(store: Store, told: SegmentStory) -> dict[str, Any] | None:
    """Return what the agent printed in the segment, as a JSON object; None when it is not told."""
    if told.printed is None:
        return None
    text = _text(store, told.printed.text)
    return text | {"seen_bytes": told.printed.seen_bytes}


def printed_alternative(store: Store, one: AlternativeStory) -> dict[str, Any] | None:
    """Return what a rollout's agent printed, likewise."""
    if one.proposal is None or not one.proposal.printed_bytes:
        return None
    return _text(store, one.proposal.printed) | {"seen_bytes": one.proposal.printed_bytes}


def _text(store: Store, ref: BlobRef) -> dict[str, Any]:
    """Return a content as `text_or_base64`, or ``{"erased": true}``."""
    try:
        return dict(text_or_base64(store.blob(ref.ref)))
    except Erased:
        return {"erased": True}


def past_step(step: EarlierStep) -> dict[str, Any]:
    """Return a step that is over as a JSON object of a later segment's context."""
    return {
        "index": step.index,
        "kind": step.kind,
        "payload": {"erased": True} if step.payload == ERASED else text_or_base64(step.payload),
        "status": step.status,
        "content": step.content,
    }
