"""The verdict on alternatives: rolled out for an audit, shown as the seed orders, never done."""

from collections.abc import Iterable

import msgspec

from monastery.runtime.alternatives import places
from monastery.runtime.canonical import sha256
from monastery.runtime.draw import proposal_digest
from monastery.runtime.errors import Erased
from monastery.runtime.events import (
    AlternativeEnded,
    AlternativeProposed,
    AlternativesOrdered,
    AlternativeStarted,
    AuditShown,
    AuditVoted,
    Event,
    GateDecided,
    ModelCalled,
    ProposalRefused,
    RewardIssued,
    SeedRevealed,
    SegmentStarted,
    StepStarted,
    WebFetched,
)
from monastery.runtime.journal import Record
from monastery.runtime.records import SegmentId
from monastery.runtime.store import Store
from monastery.runtime.story import SegmentStory

Verdict = tuple[bool | None, str]


def alternatives(store: Store, seed: bytes, told: Iterable[Record]) -> Verdict:
    """Every rollout is of an audited moment, its place that of the seed, and none was carried out.

    Args:
        store: Where the run lies.
        seed: The run's, as the store keeps it; one that is revealed counts before it.
        told: The run's events.

    Returns:
        The verdict, and why.
    """
    events = list(told)
    revealed = [one.event.seed for one in events if isinstance(one.event, SeedRevealed)]
    check = _Check(store, bytes.fromhex(revealed[0]) if revealed else seed)
    for record in events:
        wrong = check.take(record)
        if wrong:
            return False, f"event {record.seq}: {wrong}"
    counted = f"{check.proposed} alternatives of {check.moments} moments, none carried out"
    if check.unread:
        return None, f"{counted}; {check.unread} cases were erased: what they showed is not known"
    return True, counted if check.moments else "no moment has alternatives"


class _Check:
    """Follows a run, and says what is wrong with an event, if anything is."""

    def __init__(self, store: Store, seed: bytes) -> None:
        self._store, self._seed = store, seed
        self._by_id: dict[str, SegmentStory] = {}
        self.proposed, self.moments, self.unread = 0, 0, 0

    def take(self, record: Record) -> str:
        event = record.event
        if isinstance(event, SegmentStarted):
            begun = SegmentStory(SegmentId(event.segment), event.index, event.boundary)
            self._by_id[event.segment] = begun
            return ""
        name = getattr(event, "segment", None)
        if name is None:
            return ""
        one = self._by_id.get(name)
        if one is None:
            return f"{event.type} names {name}, which is no segment of the run"
        wrong = self._wrong(one, event)
        if not wrong:
            one.take(record)
        return wrong

    def _wrong(self, one: SegmentStory, event: Event) -> str:
        match event:
            case AlternativeStarted() | AlternativeEnded():
                return _not_now(one, event.alternative)
            case ModelCalled() | WebFetched() | ProposalRefused() if event.alternative:
                return _not_now(one, event.alternative, begun=True)
            case AlternativeProposed():
                self.proposed += 1
                digest = _digest(one, event)
                edited = "" if digest == event.digest else f"{event.alternative} was edited"
                return _not_now(one, event.alternative, begun=True) or edited
            case AlternativesOrdered():
                self.moments += 1
                return self._misordered(one, event)
            case AuditShown():
                return self._shown_otherwise(one, event)
            case AuditVoted() | RewardIssued() if one.alternatives and one.ordered is None:
                return f"{event.type} before {one.id}'s alternatives had their order"
            case GateDecided() if event.verdict == "approve" and one.alternatives:
                passed = one.proposal and event.payload == one.proposal.payload
                return "" if passed else f"the gate let another proposal pass than {one.id}'s own"
            case StepStarted() if one.alternatives:
                done = one.decision and one.decision.payload == event.payload
                return "" if done else f"{one.id} was carried out with bytes that nobody let pass"
            case _:
                return ""

    def _misordered(self, one: SegmentStory, event: AlternativesOrdered) -> str:
        if one.ordered is not None or one.shown is not None or one.proposal is None:
            return f"{one.id} had its order already, or it was shown before"
        if places(self._seed, one) != event.order:
            return f"the order of {one.id}'s alternatives is not the seed's"
        return ""

    def _shown_otherwise(self, one: SegmentStory, event: AuditShown) -> str:
        order = [] if one.ordered is None or len(one.ordered.order) == 1 else one.ordered.order
        try:
            case = msgspec.json.decode(self._store.blob(event.case.ref))
            offered = [
                (each["payload_sha256"], each["same"]) for each in case.get("alternatives", [])
            ]
            wanted = [(self._payload(one, names[0]), len(names)) for names in order]
        except Erased:
            self.unread += bool(order)
            return ""
        if offered != wanted:
            return f"what was shown of {one.id} is not its alternatives in their order"
        return ""

    def _payload(self, one: SegmentStory, name: str) -> str:
        told = one.proposal if name == one.id else one.alternatives[name].proposal
        assert told is not None, "what has a place was proposed"
        return sha256(self._store.blob(told.payload.ref))


def _not_now(one: SegmentStory, name: str, *, begun: bool = False) -> str:
    """Return why nothing of a rollout can be recorded here, if so."""
    moment, _, number = name.partition("+")
    if moment != one.id or not number.isdecimal():
        return f"{name} is not an alternative of {one.id}"
    if one.drawn is None or not one.drawn.audited:
        return f"{name} was rolled out without a draw that fell on {one.id}"
    if one.ordered is not None or one.completed is not None:
        return f"{name} was rolled out after its moment was judged"
    told = one.alternatives.get(name)
    if told is not None and told.over:
        return f"{name} goes on after its end"
    return f"{name} was never begun" if begun and told is None else ""


def _digest(one: SegmentStory, event: AlternativeProposed) -> str:
    return proposal_digest(
        segment=event.alternative,
        kind=event.kind,
        probability=one.drawn.probability if one.drawn is not None else 0.0,
        payload=event.payload.ref,
        rationale=event.rationale.ref,
        evidence=[(each.name, each.ref) for each in event.evidence],
    )
