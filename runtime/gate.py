"""The gate: from an audit to what may be done. Pure.

An unaudited step is carried out: the agent may act by itself, and is still never reinforced through
what comes of it. An audit that did not measure blocks, as does one that expired.
"""

from collections import Counter
from collections.abc import Sequence
from statistics import fmean, median
from typing import Literal

from monastery.runtime.project import AuditSettings
from monastery.runtime.records import (
    AuditorDecision,
    AuditResult,
    Decision,
    Proposal,
    Scored,
    Sha256,
    Vote,
)

_CAREFUL: Sequence[AuditorDecision] = ("approve", "modify", "reject", "escalate", "terminate")
"""Decisions from the least to the most careful."""


ScoreRule = Literal["mean", "median"]
"""How several scores become one; the median of an even number is the mean of the middle two."""

DecisionRule = Literal["careful", "majority"]
"""How several decisions become one: the most careful, or that of more than half of the votes. Where
none has more than half, a tie say, the majority fails safe: the most careful decides."""


def aggregate(
    votes: Sequence[Vote],
    seen: Sha256,
    *,
    score: ScoreRule = "mean",
    decision: DecisionRule = "careful",
) -> Scored:
    """Return the votes as one score and one decision.

    Two different modifications cannot both be used, so they escalate.

    Args:
        votes: At least one.
        seen: Hash of the case that they voted on.
        score: How their scores become one.
        decision: How their decisions become one.
    """
    result = _decision([vote.decision for vote in votes], decision)
    modified = {vote.modified for vote in votes if vote.decision == "modify"}
    if result == "modify" and len(modified) > 1:
        result = "escalate"
    compared = all(vote.scores for vote in votes)
    note = "\n".join(f"{vote.auditor}: {vote.note}" for vote in votes if vote.note)
    return Scored(
        score=_score([vote.score for vote in votes], score),
        decision=result,
        seen=seen,
        modified=modified.pop() if result == "modify" else None,
        note=note,
        # An auditor who judged the live one alone says nothing of how it compares.
        scores=tuple(
            _score(given, score)
            for given in (zip(*(vote.scores for vote in votes), strict=True) if compared else ())
        ),
    )


def _score(given: Sequence[float], rule: ScoreRule) -> float:
    return fmean(given) if rule == "mean" else median(given)


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


def _decision(given: Sequence[AuditorDecision], rule: DecisionRule) -> AuditorDecision:
    """Return the decision that several come to."""
    ((most, count),) = Counter(given).most_common(1)
    if rule == "majority" and count * 2 > len(given):
        return most
    return max(given, key=_CAREFUL.index)


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
