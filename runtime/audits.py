"""Audits: what an auditor is shown, its vote, and the votes as one result.

An audit that fails, expires or answers nonsense is unmeasured: no reward, and the step is blocked.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import trio

from monastery.runtime import alternatives, recall
from monastery.runtime.canonical import sha256
from monastery.runtime.cases import alone, core, make_case
from monastery.runtime.errors import AuditExpired, AuditFailed
from monastery.runtime.events import AuditScored, AuditShown, AuditUnmeasured, AuditVoted
from monastery.runtime.gate import aggregate
from monastery.runtime.ports import Auditor, Cell, Forkable
from monastery.runtime.records import (
    Answer,
    AuditResult,
    Case,
    Decision,
    EarlierStep,
    Item,
    ItemId,
    Proposal,
    Scored,
    Sha256,
    Shown,
    Unmeasured,
    Vote,
)
from monastery.runtime.run import Run


async def show(run: Run, proposal: Proposal, earlier: Sequence[EarlierStep]) -> Case:
    """Record what the auditors of a proposal are shown, and return it."""
    case = make_case(
        run.project.goal,
        proposal,
        rendering=run.world.executors[proposal.kind].render(proposal.payload),
        # Who is asked about an unknown outcome is nothing to judge a proposal by.
        settings=_settings(run, proposal.kind),
        earlier=earlier,
        alternatives=_alternatives(run, proposal),
    )
    told = run.story.by_id[proposal.segment].shown
    if told is None or told.case.ref != _seen(run, case):
        body = core(case)
        await run.journal.append(
            AuditShown(segment=proposal.segment, case=run.journal.ref(body)), blobs=[body]
        )
    return case


def _alternatives(run: Run, live: Proposal) -> tuple[Shown, ...]:
    """Return the different proposals of a moment, by place."""
    return tuple(
        Shown(
            one,
            run.world.executors[one.kind].render(one.payload),
            _settings(run, one.kind),
            names,
        )
        for one, names in alternatives.proposals(run, live)
    )


def _settings(run: Run, kind: str) -> dict[str, Any]:
    settings = run.project.steps[kind]
    # What is not set is left out: a question that waits since an earlier version stays the same.
    left_out = {"unknown"} if settings.irreversible else {"unknown", "irreversible"}
    return settings.model_dump(mode="json", exclude=left_out)


def _seen(run: Run, case: Case) -> Sha256:
    """Return the name under which a case is recorded.

    Auditors are given the bare hash of the case, which they can compute. The journal never holds
    it: whoever knows the rest of a case could guess an erased payload from it.
    """
    return Sha256(run.journal.ref(core(case)).ref)


async def judge(run: Run, case: Case, box: Forkable) -> AuditResult:
    """Have every auditor vote, at the same time, and return the votes as one result.

    One audit that fails makes the whole unmeasured; the others are called off.
    """
    segment = case.proposal.segment
    votes = {vote.auditor: vote for vote in recall.votes(run.store, run.story.by_id[segment])}
    failures: list[Unmeasured] = []

    async def ask(auditor: Auditor) -> None:
        began, name = trio.current_time(), f"{case.item}.{auditor.name}"
        run.judging.add(name)
        try:
            vote = await auditor.judge(case, box)
        except AuditExpired as exc:
            failures.append(Unmeasured(f"{auditor.name}: {exc}", expired=True))
        except AuditFailed as exc:
            failures.append(Unmeasured(f"{auditor.name}: {exc}"))
        except Exception as exc:  # noqa: BLE001 - an auditor that broke is unmeasured, not the run
            failures.append(Unmeasured(f"{auditor.name}: {type(exc).__name__}: {exc}"))
        else:
            votes[auditor.name] = vote
            await _record_vote(run, case, vote, trio.current_time() - began)
            return
        finally:
            run.judging.discard(name)
        nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        for auditor in run.world.auditors:
            if auditor.name not in votes:
                nursery.start_soon(ask, auditor)
    await run.desk.withdraw(case.item)
    if failures or not votes:
        result = failures[0] if failures else Unmeasured("the project has no auditors")
        await run.journal.append(
            AuditUnmeasured(segment=segment, reason=result.reason, expired=result.expired)
        )
        return result
    rules = run.project.audit
    scored = aggregate(
        list(votes.values()), _seen(run, case), score=rules.score, decision=rules.decision
    )
    return _note_score(run, case, scored)


class NoBox:
    """Stands where a box was: a deferred audit comes after the box has gone on."""

    def fork(self) -> AbstractAsyncContextManager[Cell]:
        """Refuse: there is nothing left to copy."""
        raise AuditFailed("a deferred audit has no box to open a copy of; use blocking audits")


async def escalate(run: Run, case: Case) -> Decision:
    """Ask a person at the desk to decide alone; no score, no reward."""
    now = datetime.now(UTC)
    proposal = case.proposal
    item = Item(
        id=ItemId(f"{proposal.segment}.gate"),
        run=run.id,
        purpose="gate",
        created=now,
        deadline=now + timedelta(seconds=run.project.audit.escalate_seconds),
        body=alone(case) | {"desk": {"dig": run.project.audit.dig}},
    )
    answer = await run.desk.ask(item)
    if answer is None:
        return Decision("expired", by="the clock", payload=None)
    return _gate_answer(answer.by, answer.body, proposal.payload)


async def approved_by_two(run: Run, case: Case, decision: Decision) -> Decision:
    """Have two different people approve a step that cannot be taken back; else it is not done.

    They see the very bytes that would be used. Who decided at the gate already is one of them.
    """
    assert decision.payload is not None, "what is carried out has bytes"
    earlier = {decision.by} if decision.by not in ("gate", "audit") else set[str]()
    payload = decision.payload
    body = alone(case) | {
        "rendering": run.world.executors[case.proposal.kind].render(payload),
        "payload_base64": base64.b64encode(payload).decode(),
        "payload_sha256": sha256(payload),
    }
    now = datetime.now(UTC)
    answers: list[Answer | None] = []

    async def ask(number: int) -> None:
        segment = case.proposal.segment
        item = Item(
            id=ItemId(f"{segment}.gate.{number}"),
            run=run.id,
            purpose="gate",
            created=now,
            deadline=now + timedelta(seconds=run.project.audit.escalate_seconds),
            body=body
            | {
                "reason": "It cannot be taken back: two people must approve it.",
                "desk": {
                    "opinion": f"{segment}.gate",
                    "not": sorted(earlier),
                    "dig": run.project.audit.dig,
                },
            },
        )
        answer = await run.desk.ask(item)
        answers.append(answer)
        if answer is None or _gate_answer(answer.by, answer.body, payload).verdict != "approve":
            nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        for number in range(1 + len(earlier), 3):
            nursery.start_soon(ask, number)
    await run.desk.withdraw(f"{case.proposal.segment}.gate.")
    given = [answer for answer in answers if answer is not None]
    for one in (_gate_answer(answer.by, answer.body, payload) for answer in given):
        if one.verdict == "terminate":
            return one
        if one.verdict != "approve":  # other bytes would be bytes that only one of them has seen
            return Decision("reject", by=one.by, payload=None, feedback=one.feedback)
    if len(given) < len(answers):
        return Decision("expired", by="the clock", payload=None)
    people = earlier | {answer.by for answer in given}
    if len(people) < 2:
        return Decision(
            "reject", by=people.pop(), payload=None, feedback="one person approved twice"
        )
    return replace(decision, by=" and ".join(sorted(people)))


def _gate_answer(by: str, body: Mapping[str, Any], payload: bytes) -> Decision:
    """Return a person's decision; whatever cannot be read as one blocks the step."""
    note = body.get("note") or None
    match body.get("decision"):
        case "approve":
            return Decision("approve", by=by, payload=payload, feedback=note)
        case "modify":
            try:
                modified = base64.b64decode(body["modified_base64"], validate=True)
            except (KeyError, TypeError, binascii.Error):
                return Decision("reject", by=by, payload=None, feedback=note)
            return Decision("modify", by=by, payload=modified, feedback=note)
        case "terminate":
            return Decision("terminate", by=by, payload=None, feedback=note)
        case _:
            return Decision("reject", by=by, payload=None, feedback=note)


async def _record_vote(run: Run, case: Case, vote: Vote, seconds: float) -> None:
    modified = vote.modified
    await run.journal.append(
        AuditVoted(
            segment=case.proposal.segment,
            digest=case.proposal.digest,
            auditor=vote.auditor,
            decision=vote.decision,
            score=vote.score,
            note=vote.note,
            modified=None if modified is None else run.journal.ref(modified),
            seen=_seen(run, case),
            seconds=seconds,
            scores=list(vote.scores),
        ),
        blobs=[] if modified is None else [modified],
    )


def _note_score(run: Run, case: Case, scored: Scored) -> Scored:
    modified = scored.modified
    run.journal.note(
        AuditScored(
            segment=case.proposal.segment,
            score=scored.score,
            decision=scored.decision,
            modified=None if modified is None else run.journal.ref(modified),
            note=scored.note,
            seen=scored.seen,
            scores=list(scored.scores),
        ),
        blobs=[] if modified is None else [modified],
    )
    return scored
