"""A panel of auditors: known items, what each is like, what they dispute."""

import random

import pytest

from monastery.auditor.agreement import alpha
from monastery.auditor.known import corrected, recall
from monastery.auditor.panel import Ballot, examine
from monastery.runtime.cli import agreement
from monastery.runtime.errors import BadInput
from monastery.runtime.records import AuditorDecision


def ballot(item: str, auditor: str, decision: AuditorDecision, score: float) -> Ballot:
    """Return a vote that took a second."""
    return Ballot(item, auditor, decision, score, 1.0)


def test_recall_against_planted_items() -> None:
    """Of the bad those stopped, of the good those let through; others' items do not count."""
    known = {"b1": False, "b2": False, "b3": False, "g1": True}
    votes = [
        ("b1", "ann", False),
        ("b2", "ann", False),
        ("b3", "ann", True),
        ("g1", "ann", True),
        ("other", "ann", True),
        ("g1", "bob", False),
        ("other", "cy", False),
    ]
    told = recall(votes, known)
    assert list(told) == ["ann", "bob", "cy"]
    ann = told["ann"]
    assert (ann.sensitivity.count, ann.sensitivity.of) == (2, 3)
    # Two of three: 0.0943 to 0.9916 (Clopper and Pearson).
    assert (ann.sensitivity.low, ann.sensitivity.high) == pytest.approx((0.0943, 0.9916), abs=1e-4)
    assert (ann.specificity.value, ann.specificity.of) == (1.0, 1)
    assert told["bob"].sensitivity.value is None
    assert (told["bob"].specificity.value, told["bob"].specificity.of) == (0.0, 1)
    assert told["cy"].specificity.value is None


def test_how_common_bad_items_are_behind_an_imperfect_auditor() -> None:
    """W. J. Rogan and B. Gladen (1978): what is observed, put right, and cut to a share."""
    assert corrected(0.1 * 0.8 + 0.9 * 0.05, 0.8, 0.95) == pytest.approx(0.1)
    assert corrected(0.01, 0.8, 0.95) == 0.0
    assert corrected(0.9, 0.8, 0.95) == 1.0
    with pytest.raises(BadInput, match="no better than a lot"):
        corrected(0.3, 0.4, 0.6)


def test_what_each_auditor_is_like() -> None:
    """Votes, approvals, mean score, agreement with the others, and how far above them."""
    panel = examine(
        [
            ballot("1", "ann", "approve", 0.9),
            ballot("1", "bob", "approve", 0.7),
            ballot("1", "cy", "reject", 0.2),
            ballot("2", "ann", "modify", 0.6),
            ballot("2", "bob", "terminate", 0.0),
            ballot("3", "ann", "approve", 1.0),
        ]
    )
    assert (panel.items, panel.compared, panel.votes) == (3, 2, 6)
    ann, bob, cy = panel.members
    assert (ann.auditor, ann.votes, ann.compared) == ("ann", 3, 2)
    assert ann.approved == pytest.approx(2 / 3)
    assert ann.score == pytest.approx(2.5 / 3)
    assert ann.agrees == pytest.approx((0.5 + 1) / 2)
    assert ann.leans == pytest.approx(((0.9 - 0.45) + (0.6 - 0.0)) / 2)
    assert cy.agrees == 0.0
    assert cy.leans == pytest.approx(0.2 - 0.8)
    assert bob.known is None
    approval, decision, score = panel.agreement
    assert (approval.on, decision.on, score.on) == ("approval", "decision", "score")
    assert approval.raw == pytest.approx((1 / 3 + 1) / 2)
    assert decision.raw == pytest.approx((1 / 3 + 0) / 2)
    assert (score.raw, score.ac1) == (None, None)
    # Scores are numbers: near ones agree more than far ones.
    assert score.alpha.value == pytest.approx(
        alpha([[0.9, 0.7, 0.2], [0.6, 0.0]], "interval").value or 0
    )
    assert approval.alpha.items == decision.alpha.items == score.alpha.items == 2


def test_what_they_dispute_stands_first_where_scores_are_farthest_apart() -> None:
    """Decisions that differ, be it in kind alone; where all say the same, nothing is disputed."""
    panel = examine(
        [
            ballot("same", "ann", "approve", 1.0),
            ballot("same", "bob", "approve", 0.1),
            ballot("near", "ann", "reject", 0.3),
            ballot("near", "bob", "escalate", 0.2),
            ballot("far", "ann", "approve", 0.9),
            ballot("far", "bob", "reject", 0.1),
        ],
        {"far": False},
    )
    assert [one.item for one in panel.disputed] == ["far", "near"]
    far, near = panel.disputed
    assert far.spread == pytest.approx(0.8)
    assert [vote.auditor for vote in far.ballots] == ["ann", "bob"]
    assert (far.known, near.known) == (False, None)


def test_two_auditors_are_not_enough_to_tell_who_errs() -> None:
    """The model needs three who voted on the same items; each vote alone is no comparison."""
    two = [ballot(str(n), who, "approve", 1.0) for n in range(5) for who in ("ann", "bob")]
    assert all(one.estimated is None for one in examine(two).members)
    apart = [*two, ballot("alone", "cy", "reject", 0.0)]
    assert all(one.estimated is None for one in examine(apart).members)
    three = [*two, ballot("1", "cy", "reject", 0.0)]
    assert all(one.estimated is not None for one in examine(three).members)


def test_who_errs_is_told_from_the_votes_alone() -> None:
    """One of three lets most bad steps through: the estimate finds it, as known items would."""
    draw = random.Random(4)
    rates = {"ann": (0.95, 0.95), "bob": (0.9, 0.9), "cy": (0.3, 0.95)}
    ballots, known = [], {}
    for number in range(1200):
        item = str(number)
        known[item] = draw.random() < 0.7
        for who, (sensitivity, specificity) in rates.items():
            passed = draw.random() < (specificity if known[item] else 1 - sensitivity)
            ballots.append(ballot(item, who, "approve" if passed else "reject", float(passed)))
    for member in examine(ballots, known).members:
        sensitivity, specificity = rates[member.auditor]
        assert member.estimated is not None
        assert member.known is not None
        assert member.estimated.sensitivity == pytest.approx(sensitivity, abs=0.06)
        assert member.estimated.specificity == pytest.approx(specificity, abs=0.06)
        assert member.known.sensitivity.low < sensitivity < member.known.sensitivity.high
        assert member.known.sensitivity.of + member.known.specificity.of == 1200


def test_a_second_vote_of_one_auditor_replaces_the_first() -> None:
    """Nobody agrees with themselves."""
    panel = examine([ballot("1", "ann", "approve", 1.0), ballot("1", "ann", "reject", 0.0)])
    assert (panel.votes, panel.compared, panel.disputed) == (1, 0, ())
    assert panel.members[0].approved == 0.0


def test_no_votes_make_an_empty_panel() -> None:
    """Which is not one that agrees."""
    panel = examine([])
    assert (panel.items, panel.members, panel.disputed) == (0, (), ())
    assert all(one.alpha.value is None for one in panel.agreement)


def test_an_estimate_that_did_not_settle_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """In the numbers and in a line of the command; where nothing is estimated there is no word."""
    votes = [
        ballot(f"{item}", auditor, "approve" if item % number else "reject", 0.5)
        for item in range(1, 13)
        for number, auditor in ((2, "ann"), (3, "bob"), (4, "cy"))
    ]
    told = {}
    for rounds in (1, 2000):
        panel = examine(votes, rounds=rounds)
        told[panel.settled] = panel
        agreement._print(panel, 1)
        assert (agreement.UNSETTLED in capsys.readouterr().out) == (panel.settled is False)
    assert told.keys() == {True, False}
    assert examine([one for one in votes if one.auditor != "cy"]).settled is None
