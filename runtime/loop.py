"""The loop: think, freeze, draw, audit, reward, gate, execute, thaw.

Each verb first looks whether the journal has its answer already; if so, a crash came in between and
it goes on from there. Going on after a crash and going on are one path.
"""

import math
from dataclasses import replace

import trio

from monastery.runtime import alternatives, audits, calls, recall, steps
from monastery.runtime.agent import program
from monastery.runtime.draw import draw as draw_from
from monastery.runtime.draw import proposal_digest
from monastery.runtime.errors import BadPayload
from monastery.runtime.events import (
    AuditDrawn,
    BoxStarted,
    ChangedPath,
    NamedBlob,
    ProposalFrozen,
    RewardIssued,
    SegmentPrinted,
)
from monastery.runtime.gate import decide, feedback_for
from monastery.runtime.history import history
from monastery.runtime.ports import Box, Forkable
from monastery.runtime.records import (
    AgentExited,
    AuditResult,
    BoxSpec,
    Case,
    Decision,
    Draw,
    Ending,
    Outcome,
    Proposal,
    ProposalRequest,
    Reward,
    Scored,
)
from monastery.runtime.run import Run
from monastery.runtime.thinking import listen, refuse, why_not
from monastery.runtime.unheard import Unheard, unheard


async def live(run: Run, spec: BoxSpec) -> Ending:
    """Live a run to its end, from wherever its journal stands.

    Args:
        run: The run.
        spec: What its box is made of.

    Raises:
        BoxError: The box broke.
        StoreError: The journal cannot be written.
    """
    async with run.world.sandbox.open(run.id, spec) as box, trio.open_nursery() as carried:
        carrier = calls.Carrier(run, box, carried)
        ending, missed = await settle(run, box), None
        if ending is None:
            missed = await enter(run, box)
        while ending is None:
            asked = await think(run, box, carrier, missed)
            if isinstance(asked, Ending):
                ending = asked
                break
            received = trio.current_time()
            proposal = await freeze(run, box, asked)
            decision, outcome = await take_step(run, proposal, box)
            ending = ending_by(decision, proposal)
            if ending is None:
                await hold(run, received)
                await thaw(run, box, asked, decision, outcome)
        carried.cancel_scope.cancel()
    return ending


async def take_step(run: Run, proposal: Proposal, box: Box) -> tuple[Decision, Outcome]:
    """Judge a frozen proposal and, if the gate lets it pass, carry it out."""
    drawn = await draw(run, proposal)
    await alternatives.roll_out(run, proposal, drawn, box)
    result = await audit(run, proposal, drawn, box)
    await reward(run, proposal, drawn, result)
    decision = await gate(run, proposal, result)
    outcome = await steps.execute(run, proposal, decision)
    return decision, outcome


async def settle(run: Run, box: Box) -> Ending | None:
    """Finish the step that a crash left half done, before the agent starts."""
    facts = box.facts
    await run.journal.append(
        BoxStarted(
            box=facts.box,
            image_digest=facts.image_digest,
            freezer=facts.freezer,
            engine_runtime=facts.engine_runtime,
            work=facts.work,
            waived=list(facts.waived),
        )
    )
    proposal = recall.proposal(run.store, run.segment)
    if proposal is None:
        return None
    decision, _ = await take_step(run, proposal, box)
    return ending_by(decision, proposal)


async def enter(run: Run, box: Box) -> Unheard | None:
    """Start the agent with its history; in a box that outlived its runtime, let it go on.

    Returns:
        What that box may have to be told of its last proposal.
    """
    await alternatives.keep_moment(run, box)
    if box.facts.work == "live" and await box.rejoin():
        return unheard(run.store, run.id, box.facts.box)
    agent = program(run.project)
    await box.start_agent(agent.argv, env=agent.env, history=history(run.store, run.id))
    return None


async def think(
    run: Run, box: Box, carrier: calls.Carrier, missed: Unheard | None = None
) -> ProposalRequest | Ending:
    """Let the agent think until it proposes something that can be judged, or ends.

    Args:
        run: The run.
        box: Its box, which is not frozen.
        carrier: Carries its model calls and fetches.
        missed: What came of a proposal that is recorded, should the agent make it again.

    Returns:
        Its proposal; or how the run ended: the program exited, or used up its time or its steps.
    """
    index = run.segment.index
    if index > run.project.limits.steps:
        return Ending(False, f"the limit of {run.project.limits.steps} steps is reached")
    limit = run.project.box.think_seconds
    with trio.move_on_after(limit):
        while True:
            said = await listen(box, carrier)
            if isinstance(said, AgentExited):
                note_printed(run, box)
                return _ending_of(said)
            if missed is not None and said.call == missed.call:
                box.take_transcript()  # of the segment that the proposal ended
                await tell(run, box, said, missed.outcome, missed.feedback)
                continue
            reason = why_not(run, said)
            if reason is None:
                return said
            await refuse(run, box, said, reason)
    note_printed(run, box)
    return Ending(False, f"segment {index} thought for longer than {limit:g} seconds")


async def freeze(run: Run, box: Box, asked: ProposalRequest) -> Proposal:
    """Stop the box, and record what is proposed with the probability of its audit.

    Raises:
        FreezeFailed: The freeze could not be confirmed; the box must not go on.
    """
    seconds = await box.freeze()
    await run.delivery.acquire()
    segment, changes = run.segment, tuple(await box.changes())
    probability, rationale = run.project.probability(asked.kind), asked.rationale.encode()
    digest = proposal_digest(
        segment=segment.id,
        kind=asked.kind,
        probability=probability,
        payload=run.journal.ref(asked.payload).ref,
        rationale=run.journal.ref(rationale).ref,
        evidence=[(one.name, run.journal.ref(one.content).ref) for one in asked.evidence],
    )
    note_printed(run, box)
    await run.journal.append(
        ProposalFrozen(
            segment=segment.id,
            box=box.facts.box,
            call=asked.call,
            kind=asked.kind,
            payload=run.journal.ref(asked.payload),
            rationale=run.journal.ref(rationale),
            evidence=[
                NamedBlob(name=one.name, **run.journal.ref(one.content).model_dump())
                for one in asked.evidence
            ],
            changes=[
                ChangedPath(path=one.path, what=one.what, size_bytes=one.size_bytes)
                for one in changes
            ],
            digest=digest,
            probability=probability,
            stratum=asked.kind,
            freeze_seconds=seconds,
        ),
        blobs=[asked.payload, rationale, *(one.content for one in asked.evidence)],
    )
    return Proposal(
        segment=segment.id,
        index=segment.index,
        kind=asked.kind,
        payload=asked.payload,
        rationale=asked.rationale,
        evidence=asked.evidence,
        changes=changes,
        digest=digest,
    )


async def draw(run: Run, proposal: Proposal) -> Draw:
    """Draw whether the proposal is audited, with the probability that was recorded with it."""
    told = run.segment
    assert told.proposal is not None, "a proposal is recorded before its draw"
    drawn = draw_from(run.seed, proposal.digest, told.proposal.probability)
    if told.drawn is None:
        # Noted, not written yet: if a crash takes it, the same draw comes out again.
        run.journal.note(
            AuditDrawn(
                segment=proposal.segment,
                digest=proposal.digest,
                u=drawn.u,
                probability=drawn.probability,
                audited=drawn.audited,
            )
        )
    return drawn


async def audit(run: Run, proposal: Proposal, drawn: Draw, box: Forkable) -> AuditResult | None:
    """Have the proposal judged if the draw fell on it; None when nobody judges it now."""
    recorded = recall.result(run.store, run.segment)
    if recorded is not None or not drawn.audited:
        return recorded
    case = await audits.show(run, proposal, tuple(run.earlier))
    if run.project.audit.mode == "deferred":
        run.later.start_soon(audit_later, run, case, drawn)
        return None
    return await audits.judge(run, case, box)


async def audit_later(run: Run, case: Case, drawn: Draw) -> None:
    """Judge a deferred proposal: by its case, which knows of no outcome, and without its box."""
    recorded = recall.result(run.store, run.story.by_id[case.proposal.segment])
    result = recorded or await audits.judge(run, case, audits.NoBox())
    await reward(run, case.proposal, drawn, result)
    run.story.forget(case.proposal.segment)


async def reward(
    run: Run, proposal: Proposal, drawn: Draw, result: AuditResult | None
) -> Reward | None:
    """Issue the reward for this one segment if its audit measured; else there is none."""
    told = run.story.by_id[proposal.segment]
    if not isinstance(result, Scored) or told.reward is not None:
        return None
    earned = Reward(proposal.segment, told.boundary, result.score, drawn.probability, result.seen)
    others = alternatives.scores(told, result)
    await run.journal.append(
        *(_issued(earned, name, score) for name, score in others),
        _issued(earned, None, earned.score),
        checkpoint=True,
    )
    return earned


def _issued(live: Reward, alternative: str | None, score: float) -> RewardIssued:
    earned = replace(live, score=score)
    return RewardIssued(
        segment=earned.segment,
        boundary=earned.boundary,
        score=earned.score,
        probability=earned.probability,
        weight=earned.weight,
        value=earned.value,
        seen=earned.seen,
        alternative=alternative,
    )


async def gate(run: Run, proposal: Proposal, result: AuditResult | None) -> Decision:
    """Decide whether, and with which exact bytes, the step is carried out."""
    recorded = recall.decision(run.store, run.segment)
    if recorded is not None:
        return recorded
    decision = decide(proposal, result)
    if decision.verdict == "escalate":
        case = await audits.show(run, proposal, tuple(run.earlier))
        decision = await audits.escalate(run, case)
    if decision.verdict == "modify" and decision.payload is not None:
        try:
            run.world.executors[proposal.kind].check(decision.payload)
        except BadPayload as exc:
            decision = Decision("reject", by=decision.by, payload=None, feedback=str(exc))
    if decision.payload is not None and run.project.steps[proposal.kind].irreversible:
        case = await audits.show(run, proposal, tuple(run.earlier))
        decision = await audits.approved_by_two(run, case, decision)
    steps.note_decision(run, proposal, decision)
    return decision


async def hold(run: Run, received: float) -> None:
    """Let a step that is over wait for its tick, if the project holds all of its steps alike.

    After the thaw the agent's clocks show how long it was frozen. Held to whole ticks, a step that
    was audited within the first looks like one that was not.

    Args:
        received: When the step was received [seconds, trio's clock].
    """
    if run.project.audit.hold == "uniform":
        tick = run.project.audit.hold_seconds
        ticks = max(1, math.ceil((trio.current_time() - received) / tick))
        await trio.sleep_until(received + ticks * tick)


async def thaw(
    run: Run, box: Box, asked: ProposalRequest, decision: Decision, outcome: Outcome
) -> None:
    """Let the box go on, and put the outcome into the agent's hands."""
    await box.keep_snapshot()
    await alternatives.keep_moment(run, box)
    await box.thaw()
    run.delivery.release()
    await tell(run, box, asked, outcome, decision.feedback)


async def tell(
    run: Run, box: Box, asked: ProposalRequest, outcome: Outcome, feedback: str | None
) -> None:
    """Put the outcome of the step that was carried out last into the agent's hands."""
    await box.answer(
        asked.call,
        {
            "status": outcome.status,
            "kind": asked.kind,
            "step": run.segment.index - 1,
            "content": outcome.content,
            "feedback": feedback_for(run.project.audit, feedback),
        },
    )


def note_printed(run: Run, box: Box) -> None:
    """Note what the agent printed since its segment began."""
    printed = box.take_transcript()
    if printed.seen_bytes:
        run.journal.note(
            SegmentPrinted(
                segment=run.segment.id,
                text=run.journal.ref(printed.text),
                seen_bytes=printed.seen_bytes,
            ),
            blobs=[printed.text],
        )


def ending_by(decision: Decision, proposal: Proposal) -> Ending | None:
    """Return how the run ended if the gate ended it."""
    if decision.verdict != "terminate":
        return None
    return Ending(False, f"step {proposal.index} was terminated by {decision.by}")


def _ending_of(exited: AgentExited) -> Ending:
    if exited.exit_code == 0:
        return Ending(True, "the agent is done")
    return Ending(False, f"the agent's program ended with exit code {exited.exit_code}")
