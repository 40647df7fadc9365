"""Steps: from the gate's decision to an outcome, at most once.

The intent is durable before the executor starts. A step that was started and of which the journal
holds no outcome is looked for by its executor, or a person says what came of it; it is never simply
done again.
"""

from datetime import UTC, datetime
from typing import Literal

import trio

from monastery.runtime.canonical import canonical
from monastery.runtime.errors import BadInput, MonasteryError, StoreError
from monastery.runtime.events import GateDecided, StepCompleted, StepStarted, StepUnresolved
from monastery.runtime.project import Project
from monastery.runtime.records import (
    Decision,
    EarlierStep,
    Item,
    ItemId,
    Outcome,
    Proposal,
    Step,
)
from monastery.runtime.run import Run, next_segment

How = Literal["executed", "not executed", "reconciled", "resolved"]


def note_decision(run: Run, proposal: Proposal, decision: Decision) -> None:
    """Note what the gate decided; it is durable with the step's intent, before anything is done."""
    payload = decision.payload
    run.journal.note(
        GateDecided(
            segment=proposal.segment,
            digest=proposal.digest,
            verdict=decision.verdict,
            by=decision.by,
            payload=None if payload is None else run.journal.ref(payload),
            feedback=decision.feedback,
        ),
        # Also the proposal's own bytes: what a run was taken up with may name them otherwise.
        blobs=[] if payload is None else [payload],
    )


async def execute(run: Run, proposal: Proposal, decision: Decision) -> Outcome:
    """Carry a decided step out, or not, and complete it: the boundary of its segment."""
    if decision.payload is None:
        expired = decision.verdict == "expired"
        outcome = Outcome("expired" if expired else "rejected")
        return await _complete(run, proposal, proposal.payload, outcome, "not executed")
    step = Step(
        run=run.id,
        segment=proposal.segment,
        index=proposal.index,
        kind=proposal.kind,
        payload=decision.payload,
        key=str(proposal.segment),
    )
    if run.segment.started_step is None:
        await run.journal.append(
            StepStarted(
                segment=step.segment,
                kind=step.kind,
                payload=run.journal.ref(step.payload),
                key=step.key,
            ),
            blobs=[step.payload],
            checkpoint=True,
        )
    elif not _asked(run, step):  # a crash came after the intent
        outcome, how = await _find_out(run, step, "the runtime stopped while the step was done")
        return await _complete(run, proposal, step.payload, outcome, how)
    how = "executed"
    try:
        outcome = await run.world.executors[step.kind].execute(step)
    except StoreError:
        raise
    except MonasteryError as exc:
        outcome, how = await _find_out(run, step, str(exc))
    return await _complete(run, proposal, step.payload, outcome, how)


def _asked(run: Run, step: Step) -> bool:
    """Whether the step is a question to a person that waits, or waited, at the desk.

    Of such a step nothing is unknown: whoever carries it out again goes on waiting for the same
    answer.
    """
    return _posted(run, f"{step.segment}.{step.kind}")


def _posted(run: Run, item: str) -> bool:
    try:
        run.store.item(item)
    except BadInput:
        return False
    return True


async def _find_out(run: Run, step: Step, reason: str) -> tuple[Outcome, How]:
    """Say what came of a step that may or may not have been done: look, else ask a person.

    Where the project says so, or a person was asked already, nobody looks.
    """
    if run.segment.unresolved is None:
        await run.journal.append(StepUnresolved(segment=step.segment, reason=reason))
    executor = run.world.executors[step.kind]
    item = unknown(run.project, step, executor.render(step.payload), reason)
    if not _posted(run, item.id) and run.project.steps[step.kind].looks():
        outcome = await executor.reconcile(step)
        if outcome is not None:
            return outcome, "reconciled"
    answer = await run.desk.ask(item)
    assert answer is not None, "a question without a deadline does not expire"
    done = answer.body.get("status") == "done"
    return Outcome(
        "done" if done else "failed", {"said": answer.body.get("content", ""), "by": answer.by}
    ), "resolved"


def unknown(project: Project, step: Step, rendering: str, reason: str) -> Item:
    """Return the question what became of a step whose outcome nobody knows; it never expires."""
    return Item(
        id=ItemId(f"{step.segment}.resolve"),
        run=step.run,
        purpose="resolve",
        created=datetime.now(UTC),
        deadline=None,
        body={
            "goal": project.goal,
            "kind": step.kind,
            "step": step.index,
            "reason": reason,
            "rendering": rendering,
        },
    )


async def _complete(
    run: Run, proposal: Proposal, used: bytes, outcome: Outcome, how: How
) -> Outcome:
    content = canonical(outcome.content)
    with trio.CancelScope(shield=True):  # what is done is known, whoever wants to stop
        await run.journal.append(
            StepCompleted(
                segment=proposal.segment,
                status=outcome.status,
                content=run.journal.ref(content),
                how=how,
            ),
            next_segment(run.id, proposal.index + 1),
            blobs=[content],
            checkpoint=how == "not executed",
        )
    run.earlier.append(
        EarlierStep(proposal.index, proposal.kind, used, outcome.status, outcome.content)
    )
    run.story.forget(proposal.segment)
    return outcome
