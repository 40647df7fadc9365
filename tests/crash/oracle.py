"""The oracle: what a journal and the world outside must say of each other, whoever crashed when.

It imports nothing of the runtime. It reads the events as JSON from the database, and compares them
with what was told of them when they were written, with the effects that the world saw, and with the
order that the design promises.
"""

import hashlib
import hmac
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import apsw

COUNTS = ("events_lost", "steps_lost", "steps_twice", "wrong_verdicts", "boxes_leaked")
"""What a report counts; everything else that is wrong is a fault by its own name."""

ONCE = ("proposal.frozen", "audit.drawn", "audit.scored", "audit.unmeasured", "reward.issued")
ONCE += ("gate.decided", "step.started", "step.unresolved", "step.completed")
ONCE += ("alternative.proposed", "alternative.ended", "alternatives.ordered")
RESULTS = ("audit.scored", "audit.unmeasured")
CHAIN = ("proposal.frozen", "audit.drawn", "gate.decided", "step.started", "step.completed")
"""Of these each that is there comes after the ones before it."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that must not be: of what kind, and what was seen."""

    kind: str
    seen: str


@dataclass(frozen=True, slots=True)
class Event:
    """One event as it lies in the journal, or as it was told when it was written."""

    seq: int
    at: str
    body: Mapping[str, Any]

    @property
    def type(self) -> str:
        """What happened."""
        return str(self.body["type"])

    @property
    def bytes(self) -> bytes:
        """Return all that was told, in one canonical form."""
        return json.dumps([self.seq, self.at, self.body], sort_keys=True).encode()


@dataclass(frozen=True, slots=True)
class Journal:
    """A run as its database tells it."""

    run: str
    status: str
    seed: bytes
    events: Sequence[Event]

    @property
    def over(self) -> bool:
        """Whether the run came to its end."""
        return bool(self.events) and self.events[-1].type == "run.ended"


@dataclass(frozen=True, slots=True)
class Effect:
    """Something that was done to the world: for which segment, and with which bytes."""

    segment: str
    payload: bytes


@dataclass
class Expected:
    """What a run was to do.

    Attributes:
        plan: Kind and payload of each step, in order.
        acting: The kinds whose effects the world counts.
        blocking: Whether an audit is over before its step is decided.
    """

    plan: Sequence[tuple[str, bytes]]
    acting: frozenset[str]
    blocking: bool
    may_modify: Mapping[str, bytes] = field(default_factory=dict)


def read(home: Path, run: str) -> Journal:
    """Read a run from the database in `home`, whoever is writing it."""
    path = str(home / "monastery.sqlite3")
    db = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        db.set_busy_timeout(10_000)
        query = "SELECT status, seed FROM runs WHERE run = ?"
        status, seed = db.execute(query, (run,)).fetchone()
        query = "SELECT body FROM events WHERE run = ? ORDER BY seq"
        bodies = [json.loads(body) for (body,) in db.execute(query, (run,))]
    finally:
        db.close()
    events = [Event(body["seq"], body["at"], body["event"]) for body in bodies]
    return Journal(run, status, bytes(seed), events)


def lost(told: Iterable[Event], journal: Journal) -> list[Fault]:
    """Return a fault for each event that was told of and is not in the journal as it was told."""
    held = {event.seq: event.bytes for event in journal.events}
    return [
        Fault("events_lost", f"event {event.seq}, {event.type}, was acknowledged and is gone")
        for event in told
        if held.get(event.seq) != event.bytes
    ]


def acted(effects: Iterable[Effect], journal: Journal, expected: Expected) -> list[Fault]:
    """Compare what was done to the world with what the journal tells."""
    faults = []
    done = Counter(effect.segment for effect in effects)
    by_segment = _by_segment(journal)
    for segment, count in done.items():
        told = by_segment.get(segment, {})
        if count > 1:
            faults.append(Fault("steps_twice", f"{segment} had {count} effects"))
        if "step.started" not in told:
            faults.append(Fault("acted unrecorded", f"{segment} acted before its intent was kept"))
    for effect in effects:
        index = int(effect.segment.rpartition(".")[2])
        planned = [step[1] for step in expected.plan[index - 1 : index]]
        if effect.payload not in (*planned, expected.may_modify.get(effect.segment)):
            faults.append(Fault("wrong bytes", f"{effect.segment} used {effect.payload[:80]!r}"))
    for segment, told in by_segment.items():
        completed = told.get("step.completed")
        if completed is None or told["proposal.frozen"].body["kind"] not in expected.acting:
            continue
        status = completed.body["status"]
        if (status == "done") != (done[segment] > 0):
            seen = f"{segment} is {status!r} in the journal and had {done[segment]} effects"
            faults.append(Fault("steps_lost", seen))
    if journal.over:
        faults += _all_there(journal, by_segment, expected)
    return faults


def ordered(journal: Journal, expected: Expected) -> list[Fault]:
    """See that each segment's events come once and in the order that the design promises."""
    faults = []
    counted: Counter[tuple[str, ...]] = Counter()
    for event in journal.events:
        segment = event.body.get("segment", "")
        if event.type in ONCE:
            counted[event.type, event.body.get("alternative") or segment] += 1
        elif event.type == "audit.voted":
            counted[event.type, segment, event.body["auditor"]] += 1
        elif event.type == "item.posted":
            counted[event.type, event.body["item"]] += 1
        elif event.type in ("item.answered", "item.closed"):
            counted["item.answered or closed", event.body["item"]] += 1
    for name, count in counted.items():
        if count > 1:
            faults.append(Fault("recorded twice", f"{' '.join(name)}: {count} times"))
    for segment, told in _by_segment(journal).items():
        for seen in _disorder(told, expected):
            faults.append(Fault("out of order", f"{segment}: {seen}"))
        faults += [Fault("wrong draw", f"{segment}: {seen}") for seen in _misdrawn(journal, told)]
        if journal.over:
            faults += [Fault("wrong reward", f"{segment}: {seen}") for seen in _unpaid(told)]
    return faults


def _by_segment(journal: Journal) -> dict[str, dict[str, Event]]:
    """Return each segment's events by type, the first of each."""
    found: dict[str, dict[str, Event]] = defaultdict(dict)
    for event in journal.events:
        segment = event.body.get("segment")
        if segment is not None:
            found[segment].setdefault(event.type, event)
    return found


def _all_there(
    journal: Journal, by_segment: Mapping[str, Mapping[str, Event]], expected: Expected
) -> list[Fault]:
    """A run that is over has every planned step, in order, completed."""
    kinds = [
        told["proposal.frozen"].body["kind"]
        for told in by_segment.values()
        if "step.completed" in told
    ]
    planned = [kind for kind, _ in expected.plan]
    ended = journal.events[-1].body
    if kinds != planned:
        return [Fault("steps_lost", f"of the steps {planned} there are {kinds}")]
    if not ended["success"]:
        return [Fault("stuck", f"the run failed: {ended['reason']}")]
    return []


def _disorder(told: Mapping[str, Event], expected: Expected) -> Iterable[str]:
    there = [told[name] for name in CHAIN if name in told]
    for before, after in pairwise(there):
        if before.seq > after.seq:
            yield f"{after.type} came before {before.type}"
    gate, started, completed = (
        told.get(name) for name in ("gate.decided", "step.started", "step.completed")
    )
    drawn, reward = told.get("audit.drawn"), told.get("reward.issued")
    for name in ("audit.voted", *RESULTS, "reward.issued"):
        if name in told and (drawn is None or told[name].seq < drawn.seq):
            yield f"{name} came before the draw"
    if gate is not None and drawn is None:
        yield "the gate decided without a draw"
    if started is not None and (
        gate is None
        or gate.body["verdict"] not in ("approve", "modify")
        or gate.body["payload"] != started.body["payload"]
    ):
        yield "a step was started that the gate did not let pass with these bytes"
    if completed is not None and completed.body["how"] != "not executed" and started is None:
        yield "a step was completed that was never started"
    if reward is not None and told["audit.scored"].seq > reward.seq:
        yield "the reward came before the score"
    if expected.blocking and gate is not None and drawn is not None and drawn.body["audited"]:
        results = [told[name] for name in RESULTS if name in told]
        if not results or results[0].seq > gate.seq:
            yield "the gate decided before the audit was over"
        elif results[0].type == "audit.scored" and (reward is None or reward.seq > gate.seq):
            yield "the step was decided before its reward was kept"


def _misdrawn(journal: Journal, told: Mapping[str, Event]) -> Iterable[str]:
    """The draw, computed once more: HMAC-SHA-256 of the proposal's digest, 53 bits of it."""
    if "audit.drawn" not in told or "proposal.frozen" not in told:
        return
    drawn, proposal = told["audit.drawn"].body, told["proposal.frozen"].body
    digest = bytes.fromhex(proposal["digest"])
    mac = hmac.new(journal.seed, b"monastery.draw.v1\n" + digest, hashlib.sha256).digest()
    u = (int.from_bytes(mac[:8], "big") >> 11) / 2**53
    if (drawn["u"], drawn["audited"]) != (u, u < proposal["probability"]):
        yield f"u is {drawn['u']} in the journal and {u} by the seed"


def _unpaid(told: Mapping[str, Event]) -> Iterable[str]:
    """A drawn audit came to a result, a score to one reward, and no other segment has any."""
    if "step.completed" not in told:
        return
    audited = "audit.drawn" in told and told["audit.drawn"].body["audited"]
    results = [name for name in RESULTS if name in told]
    if audited and len(results) != 1:
        yield f"it was drawn for an audit and came to {results or 'nothing'}"
    if not audited and (results or "audit.voted" in told):
        yield "it was judged though the draw did not fall on it"
    if ("audit.scored" in told) != ("reward.issued" in told):
        yield "its score and its reward do not go together"
