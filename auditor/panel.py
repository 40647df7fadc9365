"""A panel: the auditors who judged the same items, what each is like, and where they disagree.

A vote lets its item through when it approves it as it is; every other decision does not.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median

from monastery.auditor.agreement import Coefficient, ac1, alpha, raw
from monastery.auditor.dawid_skene import ROUNDS, Estimate, dawid_skene
from monastery.auditor.known import Recall, recall
from monastery.runtime.records import AuditorDecision

DECISIONS: Sequence[AuditorDecision] = ("approve", "modify", "reject", "escalate", "terminate")
GOOD, BAD = "good", "bad"
ENOUGH = 3
"""How many auditors of the same items it takes to tell who errs without knowing what is true."""


@dataclass(frozen=True, slots=True)
class Ballot:
    """One auditor's vote on one item; `seconds` is how long it took."""

    item: str
    auditor: str
    decision: AuditorDecision
    score: float
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether it lets the item through."""
        return self.decision == "approve"


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far a panel agrees on one thing.

    Attributes:
        on: ``approval`` (approved or not), ``decision`` (which of the five) or ``score``.
        raw: The share of pairs of votes that are the same; None for scores.
        alpha: Krippendorff's, nominal, and interval for scores.
        ac1: Gwet's; None for scores, which it is not for.
    """

    on: str
    raw: float | None
    alpha: Coefficient
    ac1: Coefficient | None


@dataclass(frozen=True, slots=True)
class Estimated:
    """How often an auditor stops bad items and lets good ones through, by the model."""

    sensitivity: float
    specificity: float


@dataclass(frozen=True, slots=True)
class Member:
    """What one auditor of a panel is like.

    Attributes:
        approved: The share of votes that approved.
        score: The mean of the scores.
        seconds: The median of how long a vote took.
        compared: How many of the votes were on items that others voted on too.
        agrees: The share of these others' votes that approved as this auditor did, or did not
            either, each item counting once; None without others.
        leans: How far the scores were above those of the others, on average; None without others.
        estimated: Sensitivity and specificity by Dawid and Skene's model; None with fewer than
            three auditors.
        known: The same by known items; None where there are none.
    """

    auditor: str
    votes: int
    approved: float
    score: float
    seconds: float
    compared: int
    agrees: float | None
    leans: float | None
    estimated: Estimated | None
    known: Recall | None


@dataclass(frozen=True, slots=True)
class Disputed:
    """An item on which the decisions differ.

    Attributes:
        spread: The highest score less the lowest.
        good: How probably it is good by Dawid and Skene's model; None with fewer than three.
        known: Whether it is good, where that is known.
    """

    item: str
    ballots: tuple[Ballot, ...]
    spread: float
    good: float | None
    known: bool | None


@dataclass(frozen=True, slots=True)
class Panel:
    """What a panel's votes say about it.

    Attributes:
        compared: How many items had two votes or more.
        settled: Whether the model behind what is estimated came to rest; None where nothing is.
    """

    items: int
    compared: int
    votes: int
    agreement: tuple[Agreement, ...]
    members: tuple[Member, ...]
    disputed: tuple[Disputed, ...]
    settled: bool | None


def examine(
    ballots: Sequence[Ballot], known: Mapping[str, bool] | None = None, *, rounds: int = ROUNDS
) -> Panel:
    """Return what votes say about those who gave them.

    Args:
        ballots: In any order; where an auditor voted twice on an item, the last counts.
        known: Whether items are good, of those of which it is known.
        rounds: After how many rounds what is estimated is taken as it is, settled or not.
    """
    votes = {(one.item, one.auditor): one for one in ballots}
    items: defaultdict[str, list[Ballot]] = defaultdict(list)
    for key in sorted(votes):
        items[key[0]].append(votes[key])
    model = _model(items, rounds)
    rights = recall(((one.item, one.auditor, one.passed) for one in votes.values()), known or {})
    return Panel(
        items=len(items),
        compared=sum(len(given) > 1 for given in items.values()),
        votes=len(votes),
        agreement=_agreement(list(items.values())),
        members=tuple(
            _member(auditor, items, model, rights[auditor] if known else None)
            for auditor in sorted({auditor for _, auditor in votes})
        ),
        disputed=_disputed(items, model, known or {}),
        settled=None if model is None else model.converged,
    )


def _agreement(items: Sequence[Sequence[Ballot]]) -> tuple[Agreement, ...]:
    passed = [[one.passed for one in given] for given in items]
    decisions = [[one.decision for one in given] for given in items]
    scores = [[one.score for one in given] for given in items]
    return (
        Agreement("approval", raw(passed), alpha(passed), ac1(passed, (True, False))),
        Agreement("decision", raw(decisions), alpha(decisions), ac1(decisions, DECISIONS)),
        Agreement("score", None, alpha(scores, "interval"), None),
    )


def _model(items: Mapping[str, Sequence[Ballot]], rounds: int) -> Estimate | None:
    """Return the model of the panel, when enough auditors voted on the same items."""
    shared = [one for given in items.values() if len(given) > 1 for one in given]
    if len({one.auditor for one in shared}) < ENOUGH:
        return None
    votes = [
        (one.item, one.auditor, GOOD if one.passed else BAD)
        for given in items.values()
        for one in given
    ]
    return dawid_skene(votes, (GOOD, BAD), rounds=rounds)


def _member(
    auditor: str,
    items: Mapping[str, Sequence[Ballot]],
    model: Estimate | None,
    known: Recall | None,
) -> Member:
    own = [one for given in items.values() for one in given if one.auditor == auditor]
    agrees, leans = [], []
    for one in own:
        others = [other for other in items[one.item] if other.auditor != auditor]
        if others:
            agrees.append(fmean(other.passed == one.passed for other in others))
            leans.append(one.score - fmean(other.score for other in others))
    chances = None if model is None else model.chances[auditor]
    return Member(
        auditor=auditor,
        votes=len(own),
        approved=fmean(one.passed for one in own),
        score=fmean(one.score for one in own),
        seconds=median(one.seconds for one in own),
        compared=len(agrees),
        agrees=fmean(agrees) if agrees else None,
        leans=fmean(leans) if leans else None,
        estimated=None if chances is None else Estimated(chances[1][1], chances[0][0]),
        known=known,
    )


def _disputed(
    items: Mapping[str, Sequence[Ballot]], model: Estimate | None, known: Mapping[str, bool]
) -> tuple[Disputed, ...]:
    """Return the items on which decisions differ, the farthest apart first."""
    found = []
    for item, given in items.items():
        if len({one.decision for one in given}) > 1:
            scores = [one.score for one in given]
            found.append(
                Disputed(
                    item=item,
                    ballots=tuple(given),
                    spread=max(scores) - min(scores),
                    good=None if model is None else model.truth[item][0],
                    known=known.get(item),
                )
            )
    return tuple(sorted(found, key=lambda one: (-one.spread, one.item)))
