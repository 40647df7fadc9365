"""The gate and the aggregation of votes."""

import itertools

import pytest

from monastery.runtime.canonical import sha256
from monastery.runtime.gate import aggregate, decide
from monastery.runtime.records import (
    AuditorDecision,
    Proposal,
    Scored,
    SegmentId,
    Unmeasured,
    Verdict,
    Vote,
)

SEEN = sha256(b"case")
PROPOSAL = Proposal(SegmentId("run.1"), 1, "note", b"one", "why", (), (), sha256(b"proposal"))


@pytest.mark.parametrize(
    ("decisions", "expected"),
    [
        (["approve", "approve"], "approve"),
        (["approve", "reject"], "reject"),
        (["approve", "approve", "reject"], "reject"),
        (["reject", "escalate"], "escalate"),
        (["escalate", "terminate", "approve"], "terminate"),
    ],
)
def test_the_most_careful_decision_wins(decisions: list[Verdict], expected: str) -> None:
    """One careful auditor is enough; the score is the mean."""
    votes = [Vote(str(n), one, 0.5 + n / 10) for n, one in enumerate(decisions)]  # type: ignore[arg-type] # a Verdict without expired
    scored = aggregate(votes, SEEN)
    assert scored.decision == expected
    assert scored.score == pytest.approx(0.5 + (len(votes) - 1) / 20)


@pytest.mark.parametrize(
    ("decisions", "expected"),
    [
        (["approve"], "approve"),
        (["approve", "approve", "reject"], "approve"),
        (["reject", "terminate", "reject"], "reject"),
        (["approve", "reject"], "reject"),
        (["approve", "approve", "reject", "escalate"], "escalate"),
        (["approve", "modify", "reject"], "reject"),
        (["approve", "approve", "reject", "reject", "terminate"], "terminate"),
    ],
)
def test_the_majority_fails_safe(decisions: list[AuditorDecision], expected: str) -> None:
    """More than half of the votes decide; half of them, or the largest part, do not."""
    modified = {"modify": b"x"}
    votes = [Vote(str(n), one, 0.5, "", modified.get(one)) for n, one in enumerate(decisions)]
    for order in itertools.permutations(votes):
        scored = aggregate(order, SEEN, decision="majority")
        assert (scored.decision, scored.modified) == (expected, None)


def test_a_majority_for_modifying_must_agree_on_what() -> None:
    """Only the same bytes from all who modified can be used; a minority's never are."""
    one, same = Vote("a", "modify", 0.5, "", b"x"), Vote("b", "modify", 0.5, "", b"x")
    other, no = Vote("b", "modify", 0.5, "", b"y"), Vote("c", "reject", 0.1)
    agreed = aggregate([one, same, no], SEEN, decision="majority")
    assert (agreed.decision, agreed.modified) == ("modify", b"x")
    split = aggregate([one, other, no], SEEN, decision="majority")
    assert (split.decision, split.modified) == ("escalate", None)


def test_one_auditor_cannot_move_the_median_far() -> None:
    """It stays between the two others, where the mean is dragged along; all votes count."""
    votes = [Vote(str(n), "approve", score) for n, score in enumerate([0.9, 0.0, 0.8])]
    assert aggregate(votes, SEEN, score="median").score == 0.8
    assert aggregate(votes, SEEN).score == pytest.approx(1.7 / 3)
    assert aggregate(votes[:2], SEEN, score="median").score == pytest.approx(0.45)


def test_two_different_modifications_escalate() -> None:
    """Neither can be chosen without a person; the same modification twice can be used."""
    one, other = Vote("a", "modify", 0.5, "", b"x"), Vote("b", "modify", 0.5, "", b"y")
    assert aggregate([one, other], SEEN).decision == "escalate"
    assert aggregate([one, other], SEEN).modified is None
    assert aggregate([one, Vote("b", "modify", 0.5, "", b"x")], SEEN).modified == b"x"


@pytest.mark.parametrize(
    ("result", "verdict", "payload"),
    [
        (None, "approve", b"one"),
        (Scored(0.9, "approve", SEEN), "approve", b"one"),
        (Scored(0.9, "modify", SEEN, b"uno"), "modify", b"uno"),
        (Scored(0.9, "reject", SEEN), "reject", None),
        (Scored(0.9, "escalate", SEEN), "escalate", None),
        (Scored(0.9, "terminate", SEEN), "terminate", None),
        (Unmeasured("broke"), "reject", None),
        (Unmeasured("late", expired=True), "expired", None),
    ],
)
def test_only_approved_bytes_may_be_used(
    result: Scored | Unmeasured | None, verdict: str, payload: bytes | None
) -> None:
    """Every answer but approval or modification leaves nothing to carry out."""
    decision = decide(PROPOSAL, result)
    assert (decision.verdict, decision.payload) == (verdict, payload)
