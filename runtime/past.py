"""A run's past: what its journal says to the runtime that goes on with it, read once.

Nothing of it grows with the run. A segment is dropped as soon as nothing can be added to it; of the
steps that are over the last few are kept, which auditors are shown. The events of what is dropped
are looked at and not validated field by field, which would be most of the time that going on takes:
they were validated when they were written, the chain of hashes says that these are those, and what
is not used misleads nobody. `monastery verify` validates them all.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import msgspec

from monastery.runtime import recall
from monastery.runtime.cases import EARLIER_STEPS
from monastery.runtime.errors import StoreError
from monastery.runtime.journal import READ_VERSIONS, decode
from monastery.runtime.records import EarlierStep, RunId
from monastery.runtime.rows import Entry
from monastery.runtime.store import Store
from monastery.runtime.story import Fetched, Spent, Story, fold


@dataclass(frozen=True, slots=True)
class Past:
    """Where a run stands.

    Attributes:
        story: Its start, its open segment, and the segments that await a deferred audit.
        earlier: The last steps that are over.
        deferred: For each segment that awaits its audit, the steps before it that its case tells.
    """

    story: Story
    earlier: deque[EarlierStep]
    deferred: Mapping[str, tuple[EarlierStep, ...]]


def read_past(store: Store, run: RunId) -> Past:
    """Read where a run stands.

    Raises:
        StoreError: The journal cannot be read.
    """
    calls, spent, fetched = 0, Spent(), Fetched()
    of_run, open_items = list[Entry](), dict[str, Entry]()
    segments: dict[str, _Segment] = {}
    last: deque[_Segment] = deque(maxlen=EARLIER_STEPS)
    before: dict[str, tuple[_Segment, ...]] = {}
    for entry in store.entries(run):
        head = _head(entry)
        match head.type:
            case "model.called":
                calls += 1
                spent.add(head.refused, head.tokens_in, head.tokens_out, head.cost)
            case "web.fetched":
                fetched.add(head.response.size_bytes, head.refused)
            case "proposal.refused":
                pass
            case "item.posted":
                open_items[head.item] = entry
            case "item.answered" | "item.closed":
                open_items.pop(head.item, None)
            case _ if not head.segment:
                of_run.append(entry)
            case _:
                one = segments.setdefault(head.segment, _Segment())
                one.take(entry, head)
                if head.type == "step.completed":
                    if one.awaits_audit:
                        before[head.segment] = tuple(last)
                    last.append(one)
                if one.over:
                    before.pop(head.segment, None)
                    del segments[head.segment]
    kept = [entry for one in segments.values() for entry in one.entries]
    story = _fold([*of_run, *open_items.values(), *kept])
    story.call_count, story.spent, story.fetched = calls, spent, fetched
    read = {id(one): one.step(store) for steps in (last, *before.values()) for one in steps}
    return Past(
        story,
        deque((read[id(one)] for one in last), EARLIER_STEPS),
        {name: tuple(read[id(one)] for one in steps) for name, steps in before.items()},
    )


class _Sized(msgspec.Struct, frozen=True, gc=False):
    size_bytes: int = 0


class _Head(msgspec.Struct, gc=False):
    """What of an event says whether it matters."""

    type: str
    segment: str = ""
    item: str = ""
    audited: bool = False
    refused: str | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    cost: float | None = None
    response: _Sized = _Sized()


class _Body(msgspec.Struct, gc=False):
    v: int
    event: _Head


_BODY = msgspec.json.Decoder(_Body)


def _head(entry: Entry) -> _Head:
    try:
        body = _BODY.decode(entry.body)
    except msgspec.DecodeError as exc:
        raise StoreError(f"event {entry.seq} cannot be read: {exc}") from exc
    if body.v not in READ_VERSIONS:
        raise StoreError(f"event {entry.seq} is of version {body.v!r}")
    return body.event


@dataclass(slots=True)
class _Segment:
    """The entries of one segment, but for its model calls, fetches and refusals."""

    entries: list[Entry] = field(default_factory=list)
    awaits_audit: bool = False
    completed: bool = False

    @property
    def over(self) -> bool:
        """Whether nothing can be added to it any more."""
        return self.completed and not self.awaits_audit

    def take(self, entry: Entry, head: _Head) -> None:
        """Take up the segment's next event."""
        self.entries.append(entry)
        match head.type:
            case "audit.drawn":
                self.awaits_audit = head.audited
            case "reward.issued" | "audit.unmeasured":
                self.awaits_audit = False
            case "step.completed":
                self.completed = True

    def step(self, store: Store) -> EarlierStep:
        """Return its step, which is over."""
        told = _fold(self.entries).last
        assert told is not None
        return recall.earlier_step(store, told)


def _fold(entries: Iterable[Entry]) -> Story:
    """Return the story that some entries tell, of a run's open segments and no others."""
    return fold(map(decode, sorted(entries, key=lambda entry: entry.seq)), brief=True)
