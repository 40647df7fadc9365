"""The gate: from an audit to what may be done. Pure.

An unaudited step is carried out: the agent may act by itself, and is still never reinforced through
what comes of it. An audit that did not measure blocks, as does one that expired.
"""

from collections.abc import Sequence
from statistics import fmean

from monastery.runtime.project import AuditSettings
from monastery.runtime.records import AuditResult, Decision, Proposal, Scored, Sha256, Vote

_CAREFUL = ("approve", "modify", "reject", "escalate", "terminate")
"""Decisions from the least to the most careful."""


def aggregate(votes: Sequence[Vote], seen: Sha256) -> Scored:
    """Return the votes as one: the mean score, and the most careful decision.

    Two different modifications cannot both be used, so they escalate.

    Args:
        votes: At least one.
        seen: Hash of the case that they voted on.
    """
    decision = max((vote.decision for vote in votes), key=_CAREFUL.index)
    modified = {vote.modified for vote in votes if vote.decision == "modify"}
    if decision == "modify" and len(modified) > 1:
        decision = "escalate"
    note = "\n".join(f"{vote.auditor}: {vote.note}" for vote in votes if vote.note)
    return Scored(
        score=fmean(vote.score for vote in votes),
        decision=decision,
        seen=seen,
        modified=modified.pop() if decision == "modify" else None,
        note=note,
    )


def feedback_for(settings: AuditSettings, note: str | None) -> str | None:
    """Return what of the auditors' notes the agent is told.

    Args:
        settings: The project's.
        note: What came with the decision: a note, or a line ``NAME: note`` for each vote.
    """
    if note is None or settings.feedback == "none":
        return None
    if settings.feedback == "full":
        return note
    told: list[str] = []
    for line in note.split("\n"):
        told += {line, line.partition(": ")[2]} & set(settings.canned)
    return "\n".join(dict.fromkeys(told)) or None


def decide(proposal: Proposal, result: AuditResult | None) -> Decision:
    """Return what the gate decides about a proposal.

    Args:
        proposal: The frozen proposal.
        result: What its audit found, or None when it was not audited.

    Returns:
        A decision whose payload is what may be used, once; ``escalate`` still needs a person.
    """
    if result is None:
        return Decision("approve", by="gate", payload=proposal.payload)
    if isinstance(result, Scored):
        allowed = {"approve": proposal.payload, "modify": result.modified}
        return Decision(
            result.decision,
            by="audit",
            payload=allowed.get(result.decision),
            feedback=result.note or None,
        )
    return Decision("expired" if result.expired else "reject", by="audit", payload=None)
