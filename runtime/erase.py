"""Erasing: what contents go, so that what was meant to go is gone. The journal itself stays whole.

A content is often in more places than its own: the case that auditors saw tells the payload, and
the cases of later steps tell it as an earlier step; the outcome of a file step holds the hash of
what was delivered. So erasing one content erases what the runtime made of it, and every other
content and question of the run in which its bytes occur: as they are, as JSON or base64 writes
them, or as their SHA-256. What cannot be erased, words in an event itself, is told.
"""

import base64
import hashlib
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from monastery.runtime.cases import EARLIER_STEPS
from monastery.runtime.errors import BadInput, Erased
from monastery.runtime.events import (
    AuditShown,
    Event,
    ItemAnswered,
    ItemPosted,
    ModelCalled,
    ProposalRefused,
    RunStarted,
    SegmentPrinted,
    SegmentStarted,
    StepCompleted,
    WebFetched,
)
from monastery.runtime.journal import Record, records
from monastery.runtime.proofs import content_names
from monastery.runtime.records import ItemId
from monastery.runtime.rows import RunRow
from monastery.runtime.store import Store
from monastery.runtime.story import Story

SHORTEST_BYTES = 4
"""Fewer bytes than these occur everywhere by chance, and are not searched for."""


@dataclass(slots=True)
class Plan:
    """What is to be erased.

    Attributes:
        refs: Contents, in the order in which the journal names them.
        items: Questions whose words and answers go.
        remains: Events that hold the searched bytes in their own words, which cannot be erased.
        before: How many contents that were asked for were erased earlier.
        bare: How many of `refs` are hashes without salt, as format 1 named contents.
    """

    refs: list[str] = field(default_factory=list)
    items: list[ItemId] = field(default_factory=list)
    remains: list[int] = field(default_factory=list)
    before: int = 0
    bare: int = 0


@dataclass(slots=True)
class _Index:
    """Where each content of a run is named.

    Attributes:
        segments: By content, the numbers of the segments that name it; 0 is the whole run.
        steps: The same, of contents that are named outside the agent's thinking.
        cases: By segment, what people and programs were shown, and their answers.
        derived: By segment, what came of its step: the cases, and the outcome.
        unfinished: Segments to which something can still be added.
    """

    segments: dict[str, set[int]] = field(default_factory=dict)
    steps: dict[str, set[int]] = field(default_factory=dict)
    cases: dict[int, set[str]] = field(default_factory=dict)
    derived: dict[int, set[str]] = field(default_factory=dict)
    items: dict[int, list[ItemId]] = field(default_factory=dict)
    project: str | None = None
    unfinished: set[int] = field(default_factory=set)
    last: int = 0


def plan(
    store: Store,
    row: RunRow,
    *,
    content: str | None = None,
    segment: int | None = None,
    matching: bytes | None = None,
) -> Plan:
    """Return what must go for one content, one segment, or some bytes to be gone.

    Raises:
        BadInput: There is no such content or segment; it is still needed; the bytes are too few.
    """
    index = _index(store, row)
    searched: list[bytes] = []
    wanted, segments = set[str](), set[int]()
    if content is not None:
        ref = _meant(index, content)
        wanted.add(ref)
        segments = index.steps.get(ref, set())
        try:
            searched = [store.blob(ref)]
        except Erased:
            searched = []
    elif segment is not None:
        if not 1 <= segment <= index.last:
            raise BadInput(f"run {row.run!r} has no segment {segment}; it has 1 to {index.last}")
        _refuse_open(index, {segment}, f"segment {segment}")
        wanted = {ref for ref, where in index.segments.items() if segment in where}
        segments = {segment}
    else:
        assert matching is not None, "one of the three is asked for"
        if len(matching) < SHORTEST_BYTES:
            raise BadInput(f"{len(matching)} bytes are too few to search for: {SHORTEST_BYTES}")
        searched = [matching]
    for number in segments:
        wanted |= index.derived.get(number, set())
        for later in range(number + 1, number + EARLIER_STEPS + 1):
            wanted |= index.cases.get(later, set())
    items = {
        item
        for number in segments
        for later in range(number, number + EARLIER_STEPS + 1)
        for item in index.items.get(later, [])
    }
    needles = [n for one in searched if len(one) >= SHORTEST_BYTES for n in spellings(one)]
    found = Plan()
    for ref in index.segments:
        try:
            salt, held = store.sealed(ref)
        except Erased:
            found.before += ref in wanted
            continue
        if ref in wanted or any(needle in held for needle in needles):
            found.refs.append(ref)
            found.bare += salt is None
    for number, waiting in index.items.items():
        for item in waiting:
            if store.item(item).item.body.get("erased") is True:
                continue
            if item in items or any(needle in store.item_bytes(item) for needle in needles):
                found.items.append(item)
                _refuse_open(index, {number}, f"question {item!r}")
    for ref in found.refs:
        _refuse_open(index, index.segments[ref], f"content {ref}")
        if ref == index.project and index.unfinished:
            raise BadInput(f"content {ref} is the project file, from which the run goes on")
    if needles:
        bodies = ((entry.seq, entry.body) for entry in store.entries(row.run))
        found.remains = [seq for seq, body in bodies if any(needle in body for needle in needles)]
    return found


def spellings(content: bytes) -> list[bytes]:
    """Return the forms in which bytes may stand inside others: plain, JSON, base64, their hash.

    In base64 what comes before moves every bit; there are three ways, of which the letters that
    depend on nothing else are taken.
    """
    forms = [content, hashlib.sha256(content).hexdigest().encode()]
    try:
        text = content.decode()
    except UnicodeDecodeError:
        pass
    else:
        once = [json.dumps(text, ensure_ascii=ascii_)[1:-1] for ascii_ in (True, False)]
        twice = [json.dumps(one, ensure_ascii=False)[1:-1] for one in once]
        forms += [one.encode() for one in (*once, *twice)]
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + content)
        first, last = math.ceil(before * 8 / 6), (before + len(content)) * 8 // 6
        forms.append(encoded[first:last])
    return list(dict.fromkeys(forms))


def _index(store: Store, row: RunRow) -> _Index:
    index, story = _Index(), Story()
    names = {entry.seq: content_names(entry) for entry in store.entries(row.run)}
    last = 0
    for record in records(store, row.run):
        story.take(record)
        event = record.event
        if isinstance(event, SegmentStarted):
            last = event.index
        number = _segment_of(row, event)
        _file(index, record, names[record.seq], number)
    index.last = last
    if story.ended is None:
        index.unfinished = {
            told.index for told in story.segments if told.completed is None or told.awaits_audit
        }
    return index


def _file(index: _Index, record: Record, refs: Iterable[str], number: int) -> None:
    """Note what one event names."""
    event = record.event
    thought = isinstance(
        event, ModelCalled | WebFetched | SegmentPrinted | ProposalRefused | RunStarted
    )
    for ref in refs:
        index.segments.setdefault(ref, set()).add(number)
        if isinstance(event, RunStarted):
            index.project = ref
        if not thought:
            index.steps.setdefault(ref, set()).add(number)
        if isinstance(event, AuditShown | ItemPosted | ItemAnswered):
            index.cases.setdefault(number, set()).add(ref)
        if isinstance(event, AuditShown | ItemPosted | ItemAnswered | StepCompleted):
            index.derived.setdefault(number, set()).add(ref)
    if isinstance(event, ItemPosted):
        index.items.setdefault(number, []).append(ItemId(event.item))


def _segment_of(row: RunRow, event: Event) -> int:
    """Return the number of the segment that an event belongs to; 0 for one of the whole run."""
    name = getattr(event, "segment", None) or getattr(event, "item", None)
    if name is None:
        return 0
    return int(name.removeprefix(f"{row.run}.").partition(".")[0])


def _meant(index: _Index, named: str) -> str:
    found = [ref for ref in index.segments if named and ref.startswith(named)]
    if len(found) == 1:
        return found[0]
    if found:
        raise BadInput(f"{named!r} begins {len(found)} contents; write more of the name")
    raise BadInput(f"no content {named!r} in this run; `monastery show RUN --json` names them")


def _refuse_open(index: _Index, segments: set[int], what: str) -> None:
    for number in sorted(segments & index.unfinished):
        raise BadInput(f"{what} belongs to segment {number}, which is still open; let it end first")
