"""The history: what an agent's program is told of its run when it starts, as a JSON list of steps.

It is read from the journal when it is needed and kept nowhere, so that a run of any length holds
none of it. It is bounded, because it lies in the box's memory (`/run`, 16 MiB) and agents read it
whole: the newest steps are told in full as long as all of them fit into `WHOLE_BYTES`, the older
ones without payload and content and marked as cut, and of a run so long that not even those fit
the oldest steps are not told at all. Steps carry their numbers, so that nobody mistakes the rest
for all.
"""

import json
from typing import Any

import msgspec

from monastery.runtime import recall
from monastery.runtime.records import RunId
from monastery.runtime.store import Store

HISTORY_BYTES = 8 << 20
"""How long the JSON list is at most."""
WHOLE_BYTES = 6 << 20
"""How much of it may be steps in full."""

_TELLING = (b'"type":"gate.decided"', b'"type":"proposal.frozen"', b'"type":"step.completed"')


class _Blob(msgspec.Struct, gc=False):
    size_bytes: int
    ref: str = ""
    sha256: str = ""  # where format 1 had the ref

    @property
    def name(self) -> str:
        return self.ref or self.sha256


class _Event(msgspec.Struct, gc=False):
    """What these three types of events tell of a step."""

    type: str
    kind: str = ""
    status: str = ""
    payload: _Blob | None = None
    content: _Blob | None = None


class _Body(msgspec.Struct, gc=False):
    event: _Event


_BODY = msgspec.json.Decoder(_Body)


class _Over(msgspec.Struct, gc=False):
    """A step that is over: its number, and its contents by name."""

    index: int
    kind: str
    status: str
    payload: _Blob
    content: _Blob

    @property
    def size_bytes(self) -> int:
        """How long its contents are; written as JSON they are no shorter."""
        return self.payload.size_bytes + self.content.size_bytes


def history(
    store: Store, run: RunId, *, limit_bytes: int = HISTORY_BYTES, whole_bytes: int = WHOLE_BYTES
) -> bytes:
    """Return the steps of a run that are over, the oldest first.

    Each is an object of `step`, `kind`, `payload` (null when it is not UTF-8), `status` and
    `content`; a cut one has the payload null, the content empty, and `cut` true.

    Raises:
        StoreError: The journal cannot be read.
    """
    lines: list[bytes] = []
    room, whole = limit_bytes - len("[]"), whole_bytes
    for one in reversed(_over(store, run)):
        line = _whole(store, one) if one.size_bytes <= whole else b""
        whole = whole - len(line) if line and len(line) <= whole else 0
        if not whole:
            line = _line(one, None, {}, cut=True)
        room -= len(line) + (len(", ") if lines else 0)
        if room < 0:
            break
        lines.append(line)
    return b"[" + b", ".join(reversed(lines)) + b"]"


def _over(store: Store, run: RunId) -> list[_Over]:
    """Return the steps that are over. Only the events that tell of them are decoded.

    A body is canonical JSON, in which a quoted type stands nowhere but at an event's type.
    """
    found: list[_Over] = []
    kind, used = "", None
    for entry in store.entries(run):
        if not any(words in entry.body for words in _TELLING):
            continue
        event = _BODY.decode(entry.body).event
        match event.type:
            case "proposal.frozen":
                kind, used = event.kind, event.payload
            case "gate.decided":
                used = event.payload or used
            case "step.completed":
                assert used is not None, "a step is proposed before it is over"
                assert event.content is not None
                found.append(_Over(len(found) + 1, kind, event.status, used, event.content))
    return found


def _whole(store: Store, one: _Over) -> bytes:
    content = recall.kept_json(store, one.content.name)
    try:
        return _line(one, recall.kept(store, one.payload.name).decode(), content)
    except UnicodeDecodeError:
        return _line(one, None, content)


def _line(one: _Over, payload: str | None, content: Any, *, cut: bool = False) -> bytes:
    told = {
        "step": one.index,
        "kind": one.kind,
        "payload": payload,
        "status": one.status,
        "content": content,
    }
    return json.dumps(told | {"cut": True} if cut else told).encode()
