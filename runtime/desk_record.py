"""What people and programs said of the steps of a run: its journal, and the desk's ballots beside.

For those who study auditors. It is read and put together here; who may see what of it is decided in
`monastery.auditor.desk`.
"""

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Any

import msgspec

from monastery.runtime.events import (
    AuditScored,
    AuditUnmeasured,
    AuditVoted,
    Event,
    ProposalFrozen,
)
from monastery.runtime.people import AuditedStep, Ballot, Question, Spoken, Told
from monastery.runtime.records import ItemId
from monastery.runtime.rows import Entry, RunRow
from monastery.runtime.store import Store, raw

_OVER = ("done", "failed")
_HEARD = (b'"proposal.frozen"', b'"audit.voted"', b'"audit.scored"', b'"audit.unmeasured"')
"""The events that are needed; what cannot be one of them is not even decoded."""
BALLOT = "item, person, stage, slip, at, seconds, counts, body"


class DeskRecord(Store):
    """The store, read for those who study auditors."""

    def told(self, run: str | None = None, *, most: int) -> list[Told]:
        """Return the newest runs, or the one of this name, with their audited steps."""
        rows = [self.run(run)] if run is not None else islice(self.runs(), most)
        return [
            Told(row.run, row.project, row.status, row.started, tuple(self.audited_steps(row)))
            for row in rows
        ]

    def audited_steps(self, row: RunRow) -> list[AuditedStep]:
        """Return a run's audited steps, with what was said of each, in their order."""
        kinds: dict[str, str] = {}
        votes: defaultdict[str, dict[str, Spoken]] = defaultdict(dict)
        ends: dict[str, AuditScored | AuditUnmeasured] = {}
        for event in self._heard(row):
            match event:
                case ProposalFrozen():
                    kinds[event.segment] = event.kind
                case AuditVoted():
                    said = Spoken(event.auditor, event.decision, event.score, event.seconds)
                    votes[event.segment][event.auditor] = said
                case AuditScored() | AuditUnmeasured():
                    ends[event.segment] = event
                case _:
                    pass
        open_now: set[str] = set()
        panels: defaultdict[str, dict[ItemId, str]] = defaultdict(dict)
        asked: set[str] = set()
        for question, state in self._questions(row):
            segment = segment_of(question)
            if state == "open":
                open_now.add(segment)
            if question.purpose == "audit":
                asked.add(segment)
                if question.panel:
                    panels[segment][question.item] = question.asked
        ballots = self._cast(row)
        found = []
        for segment in sorted(asked | votes.keys() | ends.keys(), key=_number):
            end = ends.get(segment)
            over = end is not None and segment not in open_now
            scored = end if isinstance(end, AuditScored) else None
            found.append(
                AuditedStep(
                    segment=segment,
                    run=row.run,
                    step=_number(segment),
                    kind=kinds.get(segment, ""),
                    settled=over or row.status in _OVER,
                    score=None if scored is None else scored.score,
                    decision=None if scored is None else scored.decision,
                    votes=tuple(votes[segment].values()),
                    ballots=tuple(ballots[segment]),
                    panels=panels[segment],
                )
            )
        return found

    def _heard(self, row: RunRow) -> Iterator[Event]:
        from monastery.runtime.journal import decode  # what it needs takes a while to load

        where = " OR ".join("instr(body, ?)" for _ in _HEARD)
        query = f"SELECT seq, hash, body FROM events WHERE run = ? AND ({where}) ORDER BY seq"  # noqa: S608
        for seq, digest, body in self._query(query, (row.run, *_HEARD)):
            yield decode(Entry(seq, raw(digest), raw(body))).event

    def _questions(self, row: RunRow) -> Iterator[tuple[Question, str]]:
        query = "SELECT head, state FROM items WHERE run = ? ORDER BY rowid"
        for head, state in self._query(query, (row.run,)):
            yield msgspec.json.decode(head, type=Question), state

    def _cast(self, row: RunRow) -> defaultdict[str, list[Ballot]]:
        """Return the ballots on a run's audits, by the segment that they are about."""
        columns = ", ".join(f"b.{name}" for name in BALLOT.split(", "))
        query = (
            f"SELECT {columns}, i.head FROM items i JOIN ballots b ON b.item = i.item"  # noqa: S608
            " WHERE i.run = ? ORDER BY b.number"
        )
        found: defaultdict[str, list[Ballot]] = defaultdict(list)
        for *columns_of, head in self._query(query, (row.run,)):
            question = msgspec.json.decode(head, type=Question)
            if question.purpose == "audit":
                found[segment_of(question)].append(ballot(columns_of))
        return found


def segment_of(question: Question) -> str:
    """Return the segment whose proposal a question is about."""
    return f"{question.run}.{question.item.removeprefix(f'{question.run}.').partition('.')[0]}"


def ballot(row: Any) -> Ballot:
    """Return the ballot in a row of the columns `BALLOT`."""
    item, person, stage, slip, at, seconds, counts, body = row
    when = datetime.fromisoformat(at)
    cast = msgspec.json.decode(body)
    return Ballot(ItemId(item), person, stage, slip, when, seconds, cast, bool(counts))


def _number(segment: str) -> int:
    number = segment.rpartition(".")[2]
    return int(number) if number.isdecimal() else 0
