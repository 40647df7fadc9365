"""What is true of each item, and how often each auditor errs, from their votes alone.

The model of A. P. Dawid and A. M. Skene, "Maximum likelihood estimation of observer error-rates
using the EM algorithm", Applied Statistics 28 (1979): each item has one true label; each auditor
gives labels with chances of their own, which depend on the true label and on nothing else. Nobody
needs to know what is true. Where auditors share a blind spot the model takes it for the truth; with
fewer than three of them who judge the same items, what it says is little more than its prior.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from monastery.runtime.errors import BadInput

TOLERANCE = 1e-9
ROUNDS = 2000

Given = tuple[str, str, str]
"""One vote: the item, the auditor and the label."""

Row = tuple[float, ...]
"""A chance for each label, in the order of the labels."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What the votes come to; chances are in the order of `labels`, whatever the votes' order.

    Attributes:
        shares: How common each label is. [labels]
        chances: For each auditor, how likely they give each label where one is true.
            [true label][given label]
        truth: For each item, how likely each label is true. [labels]
        log_likelihood: Of the votes, in nats; with a prior, not what was maximised.
        rounds: How many rounds it took.
        converged: Whether the last round changed no chance in `truth` by more than `TOLERANCE`.
    """

    labels: tuple[str, ...]
    shares: Row
    chances: Mapping[str, tuple[Row, ...]]
    truth: Mapping[str, Row]
    log_likelihood: float
    rounds: int
    converged: bool


def dawid_skene(
    votes: Iterable[Given], labels: Sequence[str], *, prior: float = 1.0, rounds: int = ROUNDS
) -> Estimate:
    """Return what is probably true of each item, and how each auditor errs.

    Args:
        votes: An auditor may vote on an item several times.
        labels: All that can be true, two or more.
        prior: How many imagined votes each auditor has for each true label: half of them right, the
            rest by lot. They keep an auditor with few votes from seeming perfect, or perfectly
            wrong. As many imagined items have each label equally often. 0 is the paper's method.
        rounds: After how many rounds to stop, converged or not; one at least.

    Raises:
        BadInput: No votes, fewer than two labels or one twice, a vote with another label, a
            prior below 0, or no rounds.
    """
    labels = tuple(labels)
    kinds = _kinds(votes, labels, prior)
    auditors = sorted({auditor for pattern in kinds for auditor, *_ in pattern})
    if rounds < 1:
        raise BadInput(f"{rounds} rounds: there must be one at least")
    belief = {pattern: _first(pattern, len(labels)) for pattern in kinds}
    weights = {pattern: len(items) for pattern, items in kinds.items()}
    for number in range(1, rounds + 1):  # noqa: B007 - the number of rounds is told
        shares = _shares(belief, weights, len(labels), prior)
        chances = _chances(belief, weights, auditors, len(labels), prior)
        found = {pattern: _belief(pattern, shares, chances) for pattern in belief}
        before, belief = belief, {pattern: row for pattern, (row, _) in found.items()}
        moved = max(
            abs(new - old)
            for pattern, row in belief.items()
            for new, old in zip(row, before[pattern], strict=True)
        )
        if moved <= TOLERANCE:
            break
    truth = {item: belief[pattern] for pattern, items in kinds.items() for item in items}
    return Estimate(
        labels=labels,
        shares=shares,
        chances=chances,
        truth={item: truth[item] for item in sorted(truth)},
        log_likelihood=math.fsum(weights[pattern] * log for pattern, (_, log) in found.items()),
        rounds=number,
        converged=moved <= TOLERANCE,
    )


Pattern = tuple[tuple[str, int, int], ...]
"""Who gave which label (its place) how often: items with the same votes are computed once."""


def _kinds(
    votes: Iterable[Given], labels: tuple[str, ...], prior: float
) -> dict[Pattern, list[str]]:
    """Return the items by the votes that they got."""
    if len(labels) < 2 or len(set(labels)) < len(labels):
        raise BadInput(f"labels {labels!r}: there must be two or more, each once")
    if not 0 <= prior < math.inf:
        raise BadInput(f"a prior of {prior!r} imagined votes: write 0 or more")
    places = {label: place for place, label in enumerate(labels)}
    items: defaultdict[str, list[tuple[str, int]]] = defaultdict(list)
    for item, auditor, label in votes:
        if label not in places:
            raise BadInput(f"vote of {auditor!r} on {item!r}: {label!r} is none of {labels!r}")
        items[item].append((auditor, places[label]))
    if not items:
        raise BadInput("there are no votes to learn from")
    kinds: defaultdict[Pattern, list[str]] = defaultdict(list)
    for item, given in items.items():
        counts = Counter(given)
        kinds[tuple((*vote, counts[vote]) for vote in sorted(counts))].append(item)
    return dict(sorted(kinds.items()))


def _first(pattern: Pattern, labels: int) -> Row:
    """Return where to begin: the share of the votes for each label (the paper's 3.1)."""
    sums = [0.0] * labels
    for _, given, times in pattern:
        sums[given] += times
    return _normal(sums)


def _shares(
    belief: Mapping[Pattern, Row], weights: Mapping[Pattern, int], labels: int, prior: float
) -> Row:
    """Return how common each label is (2.4), the imagined items counted."""
    sums = [prior / labels] * labels
    for pattern, row in belief.items():
        for label, chance in enumerate(row):
            sums[label] += weights[pattern] * chance
    return _normal(sums)


def _chances(
    belief: Mapping[Pattern, Row],
    weights: Mapping[Pattern, int],
    auditors: Sequence[str],
    labels: int,
    prior: float,
) -> dict[str, tuple[Row, ...]]:
    """Return how each auditor answers where each label is true (2.3), imagined votes counted."""
    by_lot = prior / 2 / labels
    sums = {
        auditor: [
            [by_lot + (prior / 2 if given == true else 0.0) for given in range(labels)]
            for true in range(labels)
        ]
        for auditor in auditors
    }
    for pattern, row in belief.items():
        for auditor, given, times in pattern:
            for true, chance in enumerate(row):
                sums[auditor][true][given] += weights[pattern] * times * chance
    return {auditor: tuple(map(_normal, rows)) for auditor, rows in sums.items()}


def _belief(
    pattern: Pattern, shares: Row, chances: Mapping[str, tuple[Row, ...]]
) -> tuple[Row, float]:
    """Return how likely each label is true of an item (2.5), and the log-likelihood of its votes.

    In logarithms: the product of many votes' chances would round to 0.
    """
    logs = [
        _log(share)
        + math.fsum(
            times * _log(chances[auditor][true][given]) for auditor, given, times in pattern
        )
        for true, share in enumerate(shares)
    ]
    top = max(logs)
    parts = [math.exp(log - top) for log in logs]
    return _normal(parts), top + math.log(math.fsum(parts))


def _log(chance: float) -> float:
    return math.log(chance) if chance > 0 else -math.inf


def _normal(sums: Sequence[float]) -> Row:
    """Return shares of 1; of nothing, equal ones: a label that nobody has is never asked for."""
    total = math.fsum(sums)
    return tuple(one / total for one in sums) if total > 0 else (1 / len(sums),) * len(sums)
