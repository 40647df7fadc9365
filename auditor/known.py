"""How good auditors are, by items of which it is known whether they are good: planted ones, say."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from monastery.auditor.intervals import LEVEL, Share, exact
from monastery.runtime.errors import BadInput


@dataclass(frozen=True, slots=True)
class Recall:
    """How often an auditor was right, each with its exact interval.

    Attributes:
        sensitivity: Of the bad items, those that were not let through.
        specificity: Of the good ones, those that were.
    """

    sensitivity: Share
    specificity: Share


def recall(
    votes: Iterable[tuple[str, str, bool]], known: Mapping[str, bool], level: float = LEVEL
) -> dict[str, Recall]:
    """Return how often each auditor was right about known items, by name.

    Args:
        votes: Item, auditor, and whether the vote lets the item through. Others' items are left
            out; an auditor without a vote on a known item has shares of none.
        known: Whether each known item is good.
        level: How often an interval holds the truth, or more often.
    """
    right: Counter[tuple[str, bool]] = Counter()
    seen: Counter[tuple[str, bool]] = Counter()
    auditors = set()
    for item, auditor, passed in votes:
        auditors.add(auditor)
        if item in known:
            good = known[item]
            seen[auditor, good] += 1
            right[auditor, good] += passed == good
    return {
        auditor: Recall(
            sensitivity=exact(right[auditor, False], seen[auditor, False], level),
            specificity=exact(right[auditor, True], seen[auditor, True], level),
        )
        for auditor in sorted(auditors)
    }


def corrected(observed: float, sensitivity: float, specificity: float) -> float:
    """Return how common bad items are, from how many an imperfect auditor stopped.

    Source: W. J. Rogan and B. Gladen, American Journal of Epidemiology 107 (1978). Cut to 0 to 1.

    Args:
        observed: The share of all items that the auditor did not let through.

    Raises:
        BadInput: The auditor does no better than a lot, so that nothing follows.
    """
    better = sensitivity + specificity - 1
    if better <= 0:
        raise BadInput(
            f"sensitivity {sensitivity:.3g} and specificity {specificity:.3g} are no better than"
            " a lot; nothing follows about how common bad items are"
        )
    return min(1.0, max(0.0, (observed + specificity - 1) / better))
