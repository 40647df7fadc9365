"""What is true from votes alone: the paper's example, and what must hold of any votes."""

import itertools
import random

import pytest

from monastery.auditor.dawid_skene import Estimate, Given, dawid_skene
from monastery.runtime.errors import BadInput

# A. P. Dawid and A. M. Skene (1979), table 1: five anaesthetists say how fit 45 patients are, from
# 1 to 4; the first of them three times, so that the first three figures are one observer's.
PATIENTS = """
    1111111 3334334 1122122 2223121 2223222 2223322 1222111 3333433 2222223 2322223 4444444 2223343
    1111111 2223212 1211111 1112111 1111111 1111111 2222221 2221322 2222222 2222221 2223222 2212222
    1111111 1111111 2322222 1111111 1111111 1121121 1111111 3333233 1111111 2222222 2223232 4334343
    2212232 2323233 3333432 1111111 1111111 1212111 2322222 1211111 2222222
"""
ANAESTHETISTS = [
    (f"patient {patient:02}", f"observer {max(1, place - 1)}", label)
    for patient, labels in enumerate(PATIENTS.split(), 1)
    for place, label in enumerate(labels)
]
FITNESS = "1234"


def rounded(rows: tuple[tuple[float, ...], ...]) -> list[list[float]]:
    """Return chances as the paper prints them."""
    return [[round(chance, 2) for chance in row] for row in rows]


def votes_of(
    items: int, rates: list[tuple[float, float]], bad: float
) -> tuple[list[Given], dict[str, str]]:
    """Return votes of auditors with set sensitivity and specificity, and what is true."""
    draw = random.Random(7)
    truth, votes = {}, []
    for number in range(items):
        item = f"item {number:05}"
        truth[item] = "bad" if draw.random() < bad else "good"
        for auditor, (sensitivity, specificity) in enumerate(rates):
            right = draw.random() < (sensitivity if truth[item] == "bad" else specificity)
            other = {"bad": "good", "good": "bad"}[truth[item]]
            votes.append((item, f"auditor {auditor}", truth[item] if right else other))
    return votes, truth


def test_the_anaesthetists() -> None:
    """Without a prior: the paper's shares, error rates and patients, to its two places."""
    told = dawid_skene(ANAESTHETISTS, FITNESS, prior=0)
    assert told.converged
    assert rounded((told.shares,)) == [[0.40, 0.42, 0.11, 0.07]]
    assert rounded(told.chances["observer 1"]) == [
        [0.89, 0.11, 0.00, 0.00],
        [0.07, 0.88, 0.05, 0.00],
        [0.00, 0.34, 0.66, 0.00],
        [0.00, 0.00, 0.56, 0.44],
    ]
    assert rounded(told.chances["observer 3"])[0] == [1.0, 0.0, 0.0, 0.0]
    # All say 1 or 2 of the third patient; two of them never say 2 of a fit one.
    assert told.truth["patient 03"][1] == pytest.approx(1.0, abs=1e-3)
    assert rounded((told.truth["patient 38"],)) == [[0.00, 0.02, 0.98, 0.00]]
    assert told.truth["patient 36"][3] == pytest.approx(1.0, abs=1e-3)


def test_each_round_makes_the_votes_more_likely() -> None:
    """The likelihood never falls without a prior, and comes to rest."""
    logs = [
        dawid_skene(ANAESTHETISTS, FITNESS, prior=0, rounds=rounds).log_likelihood
        for rounds in range(1, 24)
    ]
    assert all(then >= before - 1e-9 for before, then in itertools.pairwise(logs))
    assert logs[-1] == pytest.approx(-192.8909, abs=1e-4)
    assert not dawid_skene(ANAESTHETISTS, FITNESS, prior=0, rounds=3).converged


def test_good_and_bad_auditors_are_told_apart_without_knowing_what_is_true() -> None:
    """Sensitivity and specificity come out within 5 points, the truth better than by majority."""
    rates = [(0.9, 0.95), (0.6, 0.9), (0.85, 0.8), (0.5, 0.6)]
    votes, truth = votes_of(3000, rates, bad=0.3)
    told = dawid_skene(votes, ("good", "bad"))
    for auditor, (sensitivity, specificity) in enumerate(rates):
        chances = told.chances[f"auditor {auditor}"]
        assert chances[1][1] == pytest.approx(sensitivity, abs=0.05)
        assert chances[0][0] == pytest.approx(specificity, abs=0.05)
    assert told.shares[1] == pytest.approx(0.3, abs=0.03)
    found = sum((told.truth[item][1] > 0.5) == (word == "bad") for item, word in truth.items())
    bad = dict.fromkeys(truth, 0)
    for item, _, label in votes:
        bad[item] += label == "bad"
    voted = sum((bad[item] >= 2) == (word == "bad") for item, word in truth.items())
    assert found > voted


def same(one: Estimate, other: Estimate) -> None:
    """See that two estimates are the same, label by label."""
    assert sorted(one.labels) == sorted(other.labels)
    places = [other.labels.index(label) for label in one.labels]
    for item, row in one.truth.items():
        assert [other.truth[item][place] for place in places] == pytest.approx(row, abs=1e-7)
    for auditor, rows in one.chances.items():
        for true, row in zip(places, rows, strict=True):
            others = [other.chances[auditor][true][place] for place in places]
            assert others == pytest.approx(row, abs=1e-7)


@pytest.mark.parametrize("prior", [0, 1])
def test_the_order_of_votes_and_of_labels_does_not_matter(prior: float) -> None:
    """Chances follow the labels as they are given; no label is the first by nature."""
    told = dawid_skene(ANAESTHETISTS, FITNESS, prior=prior)
    shuffled = random.Random(3).sample(ANAESTHETISTS, len(ANAESTHETISTS))
    assert dawid_skene(shuffled, FITNESS, prior=prior) == told
    same(told, dawid_skene(ANAESTHETISTS, "4213", prior=prior))


def test_auditors_may_change_names() -> None:
    """Only what they say counts."""
    names = {f"observer {n}": f"observer {9 - n}" for n in range(1, 6)}
    told = dawid_skene(ANAESTHETISTS, FITNESS)
    other = dawid_skene([(i, names[a], label) for i, a, label in ANAESTHETISTS], FITNESS)
    for old, new in names.items():
        for row, then in zip(told.chances[old], other.chances[new], strict=True):
            assert then == pytest.approx(row, abs=1e-7)


def test_auditors_who_agree_are_believed() -> None:
    """Where all say the same of each item, that is true, and nobody errs."""
    votes = [(str(item), who, "gb"[item % 3 == 0]) for item in range(30) for who in "xyz"]
    told = dawid_skene(votes, "gb", prior=0)
    assert all(
        row == ((0.0, 1.0) if int(item) % 3 == 0 else (1.0, 0.0))
        for item, row in told.truth.items()
    )
    assert all(rows == ((1.0, 0.0), (0.0, 1.0)) for rows in told.chances.values())


def test_the_prior_keeps_a_few_votes_from_meaning_certainty() -> None:
    """An auditor with one vote is not perfect, and a label that nobody gave is not impossible."""
    votes = [("1", "x", "good"), ("1", "y", "good"), ("1", "z", "good"), ("2", "x", "good")]
    told = dawid_skene(votes, ("good", "bad"))
    assert told.converged
    assert 0.5 < told.chances["z"][0][0] < 0.95
    assert told.chances["z"][1] == pytest.approx((0.25, 0.75), abs=0.05)
    assert 0 < told.truth["2"][1] < told.truth["2"][0]


def test_long_lists_of_votes_do_not_round_to_nothing() -> None:
    """Three thousand votes on one item have a chance far below the smallest number there is."""
    votes = [("one", who, "good" if n % 3 else "bad") for n in range(1000) for who in "xyz"]
    told = dawid_skene([*votes, ("two", "x", "bad")], ("good", "bad"), rounds=5)
    assert sum(told.truth["one"]) == pytest.approx(1.0)
    assert told.log_likelihood < -1000


def test_bad_input_is_refused_in_one_line() -> None:
    """What is wrong, and where."""
    vote = ("1", "x", "good")
    with pytest.raises(BadInput, match=r"^vote of 'x' on '2': 'fine' is none of"):
        dawid_skene([vote, ("2", "x", "fine")], ("good", "bad"))
    with pytest.raises(BadInput, match="no votes"):
        dawid_skene([], ("good", "bad"))
    with pytest.raises(BadInput, match="two or more, each once"):
        dawid_skene([vote], ("good", "good"))
    with pytest.raises(BadInput, match="write 0 or more"):
        dawid_skene([vote], ("good", "bad"), prior=-1)
    with pytest.raises(BadInput, match="one at least"):
        dawid_skene([vote], ("good", "bad"), rounds=0)
