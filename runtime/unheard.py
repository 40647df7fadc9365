"""What a box that outlived its runtime may not have heard: the outcome of its last proposal.

A runtime can die after a step is recorded and before its outcome is in the agent's hands. The guest
then asks the next runtime again, under the same number, and is told what is recorded: nothing is
judged or done a second time.
"""

from dataclasses import dataclass

from monastery.runtime import recall
from monastery.runtime.events import GateDecided, ProposalFrozen, StepCompleted
from monastery.runtime.journal import decode
from monastery.runtime.records import Outcome, RunId
from monastery.runtime.store import Store

_FIRST_LOOK = 64


@dataclass(frozen=True, slots=True)
class Unheard:
    """What came of a proposal, for the agent that asks again under the number of its call."""

    call: int
    kind: str
    outcome: Outcome
    feedback: str | None


def unheard(store: Store, run: RunId, box: str) -> Unheard | None:
    """Return what came of the last proposal, if this box made it.

    It is read from the journal's end.

    Args:
        store: Where the run lies; none of its steps is under way.
        run: Which.
        box: The box that lived on.
    """
    back, seq = _FIRST_LOOK, store.run(run).seq
    while True:
        start = max(0, seq - back)
        proposal, decided, completed = None, None, None
        for entry in store.entries(run, start=start):
            match decode(entry).event:
                case ProposalFrozen() as event:
                    proposal, decided, completed = event, None, None
                case GateDecided() as event:
                    decided = event
                case StepCompleted() as event:
                    completed = event
        if proposal is not None or start == 0:
            break
        back *= 8
    if proposal is None or proposal.box != box or decided is None or completed is None:
        return None
    content = recall.kept_json(store, completed.content.ref)
    outcome = Outcome(completed.status, content)
    return Unheard(proposal.call, proposal.kind, outcome, decided.feedback)
