"""Alternatives: other proposals for the same moment, to compare the live one with.

When an audit is drawn, the segment is rolled out anew from the work folder as it began with: each
rollout in a box of its own, its agent started as after a crash, until it proposes. Auditors are
shown all proposals in an order that the seed draws; all segments earn; only the live proposal can
be carried out. A rollout that comes to no proposal is absent, which is not a 0.

They are rolled out one after the other, while the run's own box is frozen: there is never more than
one box that thinks.
"""

from collections.abc import Iterator
from dataclasses import replace

import trio

from monastery.runtime import calls, recall
from monastery.runtime.agent import program
from monastery.runtime.draw import order, proposal_digest
from monastery.runtime.errors import BoxError, BoxLost
from monastery.runtime.events import (
    AlternativeEnded,
    AlternativeProposed,
    AlternativesOrdered,
    AlternativeStarted,
    ChangedPath,
    NamedBlob,
    ProposalFrozen,
)
from monastery.runtime.history import history
from monastery.runtime.ports import Box
from monastery.runtime.records import (
    AgentExited,
    Draw,
    Proposal,
    ProposalRequest,
    Scored,
    SegmentId,
    Sha256,
)
from monastery.runtime.run import Run
from monastery.runtime.story import SegmentStory
from monastery.runtime.thinking import listen, refuse, why_not

Places = list[list[str]]
"""Which names stand at each place; those of one place proposed the same."""


async def keep_moment(run: Run, box: Box) -> None:
    """Keep the work folder as the open segment begins with it, if a rollout may be wanted."""
    if run.project.audit.alternatives > 1:
        await box.keep_moment(run.segment.id)


async def roll_out(run: Run, proposal: Proposal, drawn: Draw, box: Box) -> None:
    """See that an audited proposal's alternatives are recorded, and their order.

    What a stop of the runtime cut off is rolled out again; what is recorded stays.

    Raises:
        BoxLost: The engine went away.
        StoreError: The journal cannot be written.
    """
    told, count = run.story.by_id[proposal.segment], run.project.audit.alternatives
    if count == 1 or not drawn.audited or told.ordered is not None:
        return
    for number in range(1, count):
        name = SegmentId(f"{proposal.segment}+{number}")
        known = told.alternatives.get(name)
        if known is None or not known.over:
            why = await _roll_out(run, name, drawn.probability, box)
            if why is not None:
                await run.journal.append(
                    AlternativeEnded(segment=proposal.segment, alternative=name, reason=why)
                )
    await run.journal.append(
        AlternativesOrdered(segment=proposal.segment, order=places(run.seed, told))
    )


async def _roll_out(run: Run, name: SegmentId, probability: float, box: Box) -> str | None:
    """Roll the open segment out once more; return why that led to no proposal, if so."""
    # Nothing of the frozen box may be delivered meanwhile, and all that a rollout asks must be.
    run = replace(run, delivery=trio.Lock(), fetching=trio.Lock())
    why: str | None = None
    try:
        async with box.rollout(run.segment.id) as other:
            await run.journal.append(
                AlternativeStarted(segment=run.segment.id, alternative=name, box=other.facts.box)
            )
            asked = await _think(run, other, name)
            if isinstance(asked, ProposalRequest):
                await _record(run, other, name, probability, asked)
            else:
                why = asked
    except* BoxLost:
        raise
    except* BoxError as broken:
        why = " ".join(str(_first(broken)).split())
    return why


async def _think(run: Run, box: Box, name: str) -> ProposalRequest | str:
    """Let a rollout think until it proposes; else return why it did not."""
    agent, limit = program(run.project), run.project.box.think_seconds
    await box.start_agent(agent.argv, env=agent.env, history=history(run.store, run.id))
    said: ProposalRequest | AgentExited | None = None
    async with trio.open_nursery() as carried:
        carrier = calls.Carrier(run, box, carried, name)
        with trio.move_on_after(limit):
            said = await _proposed(run, box, carrier, name)
        carrier.cancel_all()  # they are recorded as that: what they cost counts
    if said is None:
        return f"it thought for longer than {limit:g} seconds"
    if isinstance(said, AgentExited):
        return f"its program ended with exit code {said.exit_code}, and proposed nothing"
    return said


async def _proposed(
    run: Run, box: Box, carrier: calls.Carrier, name: str
) -> ProposalRequest | AgentExited:
    while True:
        said = await listen(box, carrier)
        reason = why_not(run, said) if isinstance(said, ProposalRequest) else None
        if isinstance(said, AgentExited) or reason is None:
            return said
        await refuse(run, box, said, reason, name)


async def _record(
    run: Run, box: Box, name: SegmentId, probability: float, asked: ProposalRequest
) -> None:
    """Record what a rollout proposes, with what changed in its box since the moment."""
    await box.freeze()
    changes, printed = await box.changes(), box.take_transcript()
    ref, rationale = run.journal.ref, asked.rationale.encode()
    evidence = [NamedBlob(name=one.name, **ref(one.content).model_dump()) for one in asked.evidence]
    await run.journal.append(
        AlternativeProposed(
            segment=run.segment.id,
            alternative=name,
            kind=asked.kind,
            payload=ref(asked.payload),
            rationale=ref(rationale),
            evidence=evidence,
            changes=[
                ChangedPath(path=one.path, what=one.what, size_bytes=one.size_bytes)
                for one in changes
            ],
            digest=proposal_digest(
                segment=name,
                kind=asked.kind,
                probability=probability,
                payload=ref(asked.payload).ref,
                rationale=ref(rationale).ref,
                evidence=[(one.name, one.ref) for one in evidence],
            ),
            printed=ref(printed.text),
            printed_bytes=printed.seen_bytes,
        ),
        blobs=[asked.payload, rationale, printed.text, *(one.content for one in asked.evidence)],
    )


def places(seed: bytes, told: SegmentStory) -> Places:
    """Return who stands where: the order of the seed, each proposal at the place of its first."""
    assert told.proposal is not None, "what has alternatives was proposed"
    proposed: dict[str, ProposalFrozen | AlternativeProposed] = {told.id: told.proposal}
    for name, one in told.alternatives.items():
        if one.proposal is not None:
            proposed[name] = one.proposal
    found: dict[tuple[object, ...], list[str]] = {}
    for name in order(seed, Sha256(told.proposal.digest), proposed):
        one_proposed = proposed[name]
        evidence = tuple((one.name, one.ref) for one in one_proposed.evidence)
        same = (one_proposed.kind, one_proposed.payload.ref, evidence)
        found.setdefault(same, []).append(name)
    return list(found.values())


def proposals(run: Run, live: Proposal) -> list[tuple[Proposal, tuple[str, ...]]]:
    """Return the different proposals of a moment by place, each with all who made it.

    Returns:
        Nothing when there is but the live one, whoever else made it too.
    """
    told = run.story.by_id[live.segment]
    if told.ordered is None or len(told.ordered.order) == 1:
        return []
    return [
        (
            live if live.segment in names else recall.alternative(run.store, told, names[0]),
            tuple(names),
        )
        for names in told.ordered.order
    ]


def scores(told: SegmentStory, result: Scored) -> Iterator[tuple[str, float]]:
    """Yield what each rollout's segment earned, by name; nothing where they were not judged."""
    if told.ordered is None:
        return
    judged = (result.score,) if len(told.ordered.order) == 1 else result.scores
    for names, score in zip(told.ordered.order, judged, strict=False):
        for name in names:
            if name != told.id:
                yield name, score


def _first(group: BaseException) -> BaseException:
    """Return the first error in a group."""
    while isinstance(group, BaseExceptionGroup):
        group = group.exceptions[0]
    return group
