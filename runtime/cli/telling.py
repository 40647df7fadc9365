"""Events in a person's words, one line for each. Made safe as a whole, at the end (`tell`)."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from monastery.runtime.cli.output import size
from monastery.runtime.cli.rendering import HEADLINE_COLUMNS, headline
from monastery.runtime.display import visible_line
from monastery.runtime.events import (
    AuditDrawn,
    AuditScored,
    AuditUnmeasured,
    AuditVoted,
    BoxDied,
    BoxStarted,
    Event,
    GateDecided,
    ItemAnswered,
    ItemClosed,
    ItemPosted,
    ProposalFrozen,
    ProposalRefused,
    RewardIssued,
    RunEnded,
    RunInterrupted,
    RunParked,
    RunResumed,
    SegmentPrinted,
    SegmentStarted,
    StepCompleted,
    StepStarted,
    StepUnresolved,
)
from monastery.runtime.journal import Record
from monastery.runtime.ports import Executor

ReadBlob = Callable[[str], bytes]
"""Returns the bytes behind a hash."""


def outcome(status: str, content: Mapping[str, Any]) -> str:
    """Return what came of a step in one line, lists by their lengths; not yet made safe."""
    told = []
    for key, value in content.items():
        if isinstance(value, list | dict):
            told.append(count(len(value), key.removesuffix("s")) if key.endswith("s") else key)
        elif "\n" in str(value).strip():
            told.append(f"{key} of {count(len(str(value).splitlines()), 'line')}")
        elif value not in (None, ""):
            told.append(f"{key}={_cut(str(value))}")
    return f"{status}: {', '.join(told)}" if told else status


def drawn(event: AuditDrawn) -> str:
    """Return what the draw said."""
    return f"{'audited' if event.audited else 'not audited'} (p={event.probability:g})"


def tell(record: Record, executors: Mapping[str, Executor], blob: ReadBlob) -> str | None:
    """Return an event as one safe line, or None when it is not worth one."""
    text = _told(record.event, executors, blob)
    return None if text is None else visible_line(text, max_columns=None)


def _told(event: Event, executors: Mapping[str, Executor], blob: ReadBlob) -> str | None:
    match event:
        case BoxStarted():
            digest = event.image_digest.removeprefix("sha256:")[:12]
            opened = "joined, it lived on" if event.work == "live" else "opened"
            return (
                f"box {event.box[:12]} {opened}: image {digest}, {event.engine_runtime}, frozen by"
                f" {event.freezer}, work folder {event.work}"
            )
        case BoxDied():
            memory = ", out of memory" if event.out_of_memory else ""
            return f"box {event.how}{memory}: {event.reason}"
        case SegmentStarted():
            return "thinking"
        case RunResumed():
            return "run goes on"
        case RunInterrupted():
            return f"run stopped: {event.reason}"
        case RunParked():
            return (
                f"run parked, its box is closed: {count(len(event.items), 'question')} for people"
            )
        case RunEnded():
            return f"run ended{'' if event.success else ' without success'}: {event.reason}"
        case SegmentPrinted():
            return f"the agent printed {size(event.seen_bytes)}"
        case ProposalRefused():
            return f"a proposal of kind {event.kind!r} was refused: {event.reason}"
        case ProposalFrozen():
            line = headline(executors, event.kind, blob(event.payload.ref))
            return f"{event.kind}: {line}"
        case AuditDrawn():
            return drawn(event)
        case _:
            return _judged(event) or _done(event, blob)


def _judged(event: Event) -> str | None:
    match event:
        case AuditVoted():
            note = f", {first_line(event.note)}" if event.note else ""
            return f"vote of {event.auditor}: {event.score:.2f}, {event.decision}{note}"
        case AuditScored():
            return f"score {event.score:.2f}, {event.decision}"
        case AuditUnmeasured():
            return f"unmeasured: {event.reason}"
        case RewardIssued():
            return f"reward {event.value:.2f} = {event.score:.2f} × {event.weight:g}"
        case GateDecided():
            return f"gate: {event.verdict} by {event.by}"
        case ItemPosted():
            return f"waits for a person ({event.purpose}): monastery audit show {event.item}"
        case ItemAnswered():
            return f"answered by {event.by}"
        case ItemClosed():
            return f"question {event.reason}"
        case _:
            return None


def _done(event: Event, blob: ReadBlob) -> str | None:
    match event:
        case StepStarted():
            return f"{event.kind} is carried out"
        case StepUnresolved():
            return f"outcome unknown: {event.reason}"
        case StepCompleted():
            content: Mapping[str, Any] = json.loads(blob(event.content.ref))
            how = "" if event.how in ("executed", "not executed") else f" ({event.how})"
            return f"{outcome(event.status, content)}{how}"
        case _:
            return None


def first_line(text: str) -> str:
    """Return the first line of a text; not yet made safe."""
    return _cut(text.strip().partition("\n")[0])


def count(number: int, noun: str) -> str:
    """Return so many of something."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _cut(text: str) -> str:
    return text if len(text) <= HEADLINE_COLUMNS else f"{text[:HEADLINE_COLUMNS]}…"
