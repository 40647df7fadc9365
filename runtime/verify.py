"""Verifying a run's record: separate verdicts, each true, false or unknown, and why.

A verdict is about the record alone: it reads the entries as they lie on disk, and trusts nothing
that the runtime keeps beside them.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from monastery.runtime import checkpoint as checkpoints
from monastery.runtime.draw import commitment, draw, proposal_digest
from monastery.runtime.errors import Erased, StoreError
from monastery.runtime.events import (
    AlternativesOrdered,
    AuditDrawn,
    AuditScored,
    AuditShown,
    AuditUnmeasured,
    AuditVoted,
    GateDecided,
    ModelCalled,
    ProposalFrozen,
    ProposalRefused,
    RewardIssued,
    RunStarted,
    SeedRevealed,
    SegmentPrinted,
    SegmentStarted,
    StepCompleted,
    StepStarted,
    WebFetched,
)
from monastery.runtime.journal import FORMAT_VERSION, Record, decode, entry_hash
from monastery.runtime.keys import HomeKey, PublicKey
from monastery.runtime.merkle import Frontier, leaf_hash
from monastery.runtime.records import RunId, Sha256
from monastery.runtime.rows import GENESIS, Entry, RunRow
from monastery.runtime.store import Store
from monastery.runtime.verify_alternatives import alternatives
from monastery.runtime.verify_checkpoints import against
from monastery.runtime.verify_waits import waits


@dataclass(frozen=True, slots=True)
class Finding:
    """One verdict: it holds, it does not, or (None) nobody can tell; and why."""

    name: str
    verdict: bool | None
    reason: str


_NEED_EVENTS = ("draws", "boundary", "alternatives", "outcome order", "waits")
"""The verdicts that nobody can give on events that cannot be read."""


class _Wrong(Exception):
    """What a check found; its text is the reason."""


def verify(
    store: Store,
    run: RunId | str,
    checkpoint: Path | None = None,
    key: PublicKey | None = None,
) -> list[Finding]:
    """Return the verdicts on a run's record.

    Args:
        store: Where it lies.
        run: Which.
        checkpoint: A file of checkpoints kept elsewhere; None takes those that the home keeps.
        key: The key that must have signed them, kept elsewhere; None takes the home's.

    Raises:
        BadInput: There is no such run, or the checkpoint file is none.
    """
    row = store.run(run)
    entries = list(store.entries(row.run))
    if checkpoint is not None:
        files = {checkpoint: checkpoints.read(checkpoint)}
    else:
        files = checkpoints.kept(store.home, row.run)
    key = key or HomeKey.public_of(store.home)
    findings = [
        _finding("integrity", lambda: _integrity(store, row, entries)),
        _finding("completeness", lambda: _completeness(row, entries)),
    ]
    try:
        told = [decode(entry) for entry in entries]
    except StoreError as exc:
        unread = [Finding(name, None, str(exc)) for name in _NEED_EVENTS]
        return [
            *findings,
            *unread,
            _finding("checkpoint", lambda: against(files, row.run, entries, key)),
        ]
    return [
        *findings,
        _finding("draws", lambda: _draws(row, told)),
        _finding("boundary", lambda: _boundary(told)),
        _finding("alternatives", lambda: alternatives(store, row.seed, told)),
        _finding("outcome order", lambda: _outcome_order(store, told)),
        _finding("waits", lambda: waits(told)),
        _finding("checkpoint", lambda: against(files, row.run, entries, key)),
    ]


def _finding(name: str, check: Callable[[], tuple[bool | None, str]]) -> Finding:
    try:
        return Finding(name, *check())
    except _Wrong as exc:
        return Finding(name, False, str(exc))
    except Exception as exc:  # noqa: BLE001 - a check that broke has found nothing out
        return Finding(name, None, f"could not be checked: {type(exc).__name__}: {exc}")


def _integrity(store: Store, row: RunRow, entries: list[Entry]) -> tuple[bool, str]:
    """Every entry's hash is that of its bytes and names the one before; every content is there."""
    head, frontier, version = GENESIS, Frontier(), 1
    erased = set[str]()
    for number, entry in enumerate(entries):
        if entry.seq != number:
            raise _Wrong(f"event {number} is missing: event {entry.seq} follows")
        if entry_hash(entry.body) != entry.hash:
            raise _Wrong(f"event {number} was edited: its hash is another")
        try:
            body = msgspec.json.decode(entry.body)
            place, written = (body["run"], body["seq"], body["prev"]), int(body["v"])
        except (ValueError, KeyError, TypeError) as exc:
            raise _Wrong(f"event {number} cannot be read: {exc}") from exc
        if place != (row.run, number, head.hex()):
            raise _Wrong(f"event {number} does not follow the event before it")
        if not version <= written <= FORMAT_VERSION:
            raise _Wrong(f"event {number} is of format {written}, after one of format {version}")
        head, version = entry.hash, written
        frontier = frontier.append([leaf_hash(entry.body)])
        for name in _content_names(body["event"], "sha256" if version == 1 else "ref"):
            try:
                salt, _ = store.sealed(name)
            except Erased:
                erased.add(name)
            except StoreError as exc:
                raise _Wrong(f"event {number}: {exc}") from exc
            else:
                if (salt is None) != (version == 1):
                    raise _Wrong(f"event {number}: {name} is kept as another format keeps it")
    if head == row.head and frontier != row.frontier:
        raise _Wrong("the tree over the journal was edited: its root is another")
    gone = f"; {len(erased)} contents were erased" if erased else ""
    return True, f"{len(entries)} events, each bound to the one before{gone}"


def _content_names(value: object, field: str) -> Iterable[str]:
    """Yield the names of all contents that an event names, however deep."""
    if isinstance(value, dict):
        if field in value and "size_bytes" in value:
            yield value[field]
        for inner in value.values():
            yield from _content_names(inner, field)
    elif isinstance(value, list):
        for inner in value:
            yield from _content_names(inner, field)


def _completeness(row: RunRow, entries: list[Entry]) -> tuple[bool | None, str]:
    """The journal begins at its beginning and ends where the store says that it ends."""
    if not entries:
        raise _Wrong("the journal is empty")
    if len(entries) != row.seq or entries[-1].hash != row.head:
        raise _Wrong(f"the store knows of {row.seq} events, the journal holds {len(entries)}")
    kinds = [_type(entries[0]), _type(entries[-1])]
    if kinds[0] != "run.started":
        raise _Wrong(f"the journal begins with {kinds[0]}")
    if kinds[1] == "run.ended":
        return True, "from run.started to run.ended"
    if row.status in ("done", "failed"):
        raise _Wrong(f"the run is {row.status}, but its journal does not end: its tail is cut off")
    return None, f"the run is {row.status}: only a checkpoint can show that no tail is cut off"


def _type(entry: Entry) -> str:
    try:
        return str(msgspec.json.decode(entry.body)["event"]["type"])
    except (ValueError, KeyError, TypeError):
        return "something unreadable"


def _draws(row: RunRow, told: list[Record]) -> tuple[bool, str]:
    """Every draw comes out again, from the committed seed and the recorded proposal."""
    events = [record.event for record in told]
    committed = next((e.commitment for e in events if isinstance(e, RunStarted)), None)
    revealed = next((e.seed for e in events if isinstance(e, SeedRevealed)), None)
    seed = row.seed if revealed is None else bytes.fromhex(revealed)
    if committed is None or commitment(seed) != committed:
        raise _Wrong("the seed is not the one that was committed to before the run")
    proposals = {e.segment: e for e in events if isinstance(e, ProposalFrozen)}
    drawn: dict[str, AuditDrawn] = {}
    for event in events:
        if isinstance(event, AuditDrawn):
            proposal = proposals.get(event.segment)
            if proposal is None or event.segment in drawn:
                raise _Wrong(f"{event.segment}: a draw without a proposal of its own")
            if _digest(proposal) != proposal.digest:
                raise _Wrong(f"{event.segment}: the proposal is not the one that was drawn for")
            recomputed = draw(seed, Sha256(proposal.digest), proposal.probability)
            said = (event.digest, event.u, event.probability, event.audited)
            if said != (proposal.digest, recomputed.u, proposal.probability, recomputed.audited):
                raise _Wrong(f"{event.segment}: the draw does not come out again")
            drawn[event.segment] = event
        elif isinstance(event, GateDecided) and event.segment not in drawn:
            raise _Wrong(f"{event.segment}: the gate decided before the draw")
        elif isinstance(event, AuditVoted | AuditScored | AuditUnmeasured | RewardIssued) and not (
            event.segment in drawn and drawn[event.segment].audited
        ):
            raise _Wrong(f"{event.segment}: {event.type} without a draw that fell on it")
    how = "the revealed seed" if revealed else "the seed, which is not revealed yet"
    return True, f"{len(drawn)} draws recomputed with {how}"


def _digest(proposal: ProposalFrozen) -> Sha256:
    return proposal_digest(
        segment=proposal.segment,
        kind=proposal.kind,
        probability=proposal.probability,
        payload=proposal.payload.ref,
        rationale=proposal.rationale.ref,
        evidence=[(one.name, one.ref) for one in proposal.evidence],
    )


def _boundary(told: list[Record]) -> tuple[bool, str]:
    """Segments are cut where steps were completed, and a reward names one of them."""
    open_segment, over, frozen = "", set[str](), False
    rewards: dict[str, RewardIssued] = {}
    started: dict[str, SegmentStarted] = {}
    scored: dict[str, AuditScored] = {}
    drawn: dict[str, AuditDrawn] = {}
    orders: dict[str, list[list[str]]] = {}
    for before, record in zip([None, *told], told, strict=False):
        match record.event:
            case SegmentStarted() as event:
                edge = before.event if before else None
                completes = isinstance(edge, StepCompleted) and edge.segment == open_segment
                if not completes and not (isinstance(edge, RunStarted) and not started):
                    raise _Wrong(f"{event.segment} does not begin where a step was completed")
                if event.boundary != record.seq - 1 or event.index != len(started) + 1:
                    raise _Wrong(f"{event.segment} names another boundary than its own")
                open_segment, frozen = event.segment, False
                started[event.segment] = event
            case (
                ModelCalled()
                | WebFetched()
                | SegmentPrinted()
                | ProposalRefused()
                | ProposalFrozen() as event
            ):
                if getattr(event, "alternative", None) is not None:
                    continue  # of a rollout: see the verdict on alternatives
                if event.segment != open_segment or frozen:
                    raise _Wrong(f"event {record.seq}: {event.type} lies outside its segment")
                frozen = isinstance(event, ProposalFrozen)
            case AuditDrawn() as event:
                drawn[event.segment] = event
            case AuditScored() as event:
                scored[event.segment] = event
            case StepCompleted() as event:
                if event.segment != open_segment or not frozen:
                    raise _Wrong(f"event {record.seq}: a step of no open segment was completed")
                over.add(event.segment)
            case RewardIssued() as event:
                name = event.alternative or event.segment
                if name in rewards:
                    raise _Wrong(f"{name} was rewarded twice")
                _check_reward(event, started, scored, drawn, orders)
                rewards[name] = event
            case AlternativesOrdered() as event:
                orders[event.segment] = event.order
            case _:
                pass
    return True, f"{len(rewards)} rewards, each for one of {len(started)} segments"


def _check_reward(
    reward: RewardIssued,
    started: dict[str, SegmentStarted],
    scored: dict[str, AuditScored],
    drawn: dict[str, AuditDrawn],
    orders: dict[str, list[list[str]]],
) -> None:
    live, name = reward.segment, reward.alternative or reward.segment
    if live not in scored or live not in drawn:
        raise _Wrong(f"{name} was rewarded without a score")
    said = (reward.boundary, reward.score, reward.probability, reward.seen)
    score, order = scored[live], orders.get(live, [[live]])
    given = score.score
    if name != live:
        judged = score.scores if len(order) > 1 else [score.score]
        found = [each for names, each in zip(order, judged, strict=False) if name in names]
        if len(found) != 1:
            raise _Wrong(f"{name} was rewarded without a score of its own")
        given = found[0]
    if said != (started[live].boundary, given, drawn[live].probability, score.seen):
        raise _Wrong(f"{name}: the reward is not that of its boundary, score and draw")
    weight = 1.0 / reward.probability
    if (reward.weight, reward.value) != (weight, reward.score * weight):
        raise _Wrong(f"{name}: the reward is not score times 1/probability")


def _outcome_order(store: Store, told: list[Record]) -> tuple[bool | None, str]:
    """Votes and scores came before the outcome, or from a case in which it has no place."""
    steps: dict[str, int] = {}
    index: dict[str, int] = {}
    cases: dict[str, set[str]] = {}
    hidden, unread = 0, 0
    for record in told:
        match record.event:
            case SegmentStarted() as event:
                index[event.segment] = event.index
            case StepStarted() | StepCompleted() as event:
                steps.setdefault(event.segment, record.seq)
            case AuditShown() as event:
                try:
                    _check_case(store, event, index[event.segment])
                except Erased:
                    unread += 1
                cases.setdefault(event.segment, set()).add(event.case.ref)
            case AuditVoted() | AuditScored() | RewardIssued() as event:
                if event.seen not in cases.get(event.segment, ()):
                    raise _Wrong(f"event {record.seq}: {event.type} names a case never recorded")
                hidden += event.segment in steps and isinstance(event, RewardIssued)
            case GateDecided() as event:
                if event.segment in steps:
                    raise _Wrong(f"{event.segment}: the step came before the gate decided")
            case _:
                pass
    if unread:
        return None, f"the order holds, but {unread} cases were erased: what they told is not known"
    late = f"; {hidden} later, from cases without it" if hidden else ""
    return True, f"every reward was settled before its outcome{late}"


def _check_case(store: Store, shown: AuditShown, index: int) -> None:
    """A case tells of earlier steps alone, and has no field for what came of this one."""
    body = msgspec.json.decode(store.blob(shown.case.ref))
    fields = {"format", "goal", "kind", "step", "proposal", "payload_sha256", "rendering"}
    fields |= {"rationale", "evidence", "changes", "settings", "earlier"}
    if set(body) - {"alternatives"} != fields or body["step"] != index:
        raise _Wrong(f"{shown.segment}: its case is not one of this step")
    if any(step["step"] >= index for step in body["earlier"]):
        raise _Wrong(f"{shown.segment}: its case tells what came of the step")
