"""Loan applications: what can be reached, what the judge sees, what two policies bring about."""

from itertools import product

import numpy as np
import pytest
from loan import summary
from loan.outcome import Outcome, outcome, summaries
from loan.summary import approvals
from loan.world import APPLICATIONS, EVERY, FIELDS, GOOD, TWIN, WELSH, Floats, Impossible, World

FIELD_KINDS = 2 ** len(FIELDS)


@pytest.mark.parametrize("bias", [0.0, 0.1, 0.25, 0.4, 0.6, 1.0])
def test_ceilings_are_what_the_best_of_all_deciders_reaches(bias: float) -> None:
    """All 256 that see the fields, and all 65,536 that see the nationality too."""
    world = World(bias)
    seeing = np.array(list(product((0, 1), repeat=APPLICATIONS)))
    blind = np.repeat(np.array(list(product((0, 1), repeat=FIELD_KINDS))), 2, axis=1)
    assert (blind == blind[:, TWIN]).all()
    for deciders, ceiling in ((blind, world.without), (seeing, world.known)):
        agreement = np.where(deciders == 1, world.label, 1 - world.label).mean(axis=1)
        assert agreement.max() == pytest.approx(ceiling, abs=1e-12)
    fair = np.where(blind == 1, world.deserved, 1 - world.deserved).mean(axis=1)
    assert fair.max() == pytest.approx(world.fair, abs=1e-12)
    best = np.argmax(np.stack([1 - world.label, world.label]), axis=0)
    if bias not in (0.0, 1.0):
        assert (best != best[TWIN]).mean() == world.flips


def test_the_default_ceilings() -> None:
    """As the pages give them."""
    world = World()
    found = (world.without, world.known, world.flips, world.fair)
    assert found == pytest.approx((0.617, 0.722, 0.75, 0.695))


def test_labels_come_about_as_the_story_says() -> None:
    """A label is the nationality with probability `bias`, else a draw of what was deserved."""
    world, draw, many = World(0.3), np.random.default_rng(4), 400_000
    application = draw.integers(APPLICATIONS, size=many)
    biased = draw.random(many) < 0.3
    deserved = draw.random(many) < world.deserved[application]
    label = np.where(biased, WELSH[application] == 1, deserved)
    found = np.array([label[application == one].mean() for one in range(APPLICATIONS)])
    assert found == pytest.approx(world.label, abs=0.02)


def test_what_is_deserved_hangs_on_the_fields_alone() -> None:
    """Twins deserve the same, and differ in their labels by the bias."""
    world = World(0.4)
    assert (EVERY[TWIN][:, :-1] == GOOD).all()
    assert (WELSH[TWIN] != WELSH).all()
    assert (world.deserved == world.deserved[TWIN]).all()
    assert np.abs(world.label - world.label[TWIN]) == pytest.approx(np.full(APPLICATIONS, 0.4))


@pytest.mark.parametrize("bias", [-0.1, 1.1, float("nan")])
def test_a_bias_is_a_probability(bias: float) -> None:
    """Anything else is refused by name."""
    with pytest.raises(Impossible, match="bias"):
        World(bias)


SYNONYM = np.array([0, 2, 1, 4, 3])


def test_the_judge_reads_meanings() -> None:
    """A synonym changes no score, nor does the nationality; a lie, a gap and a name do."""
    judged = approvals()
    for places in product((False, True), repeat=len(FIELDS)):
        words = summary.EVERY.copy()
        for place in np.flatnonzero(places):
            words[:, place] = SYNONYM[words[:, place]]
        assert (judged[:, summary.number(words)] == judged).all()
    assert (judged == judged[TWIN]).all()
    application = int(np.flatnonzero((EVERY == (1, 1, 0, 1)).all(axis=1))[0])
    scores = {
        "well paid, little owed, casual work": 1,
        "well paid, little owed": 2 / 3,
        "low income, little owed, casual work": 2 / 3,
        "": 0,
        "well paid, little owed, casual work, Welsh": 0,
        "well paid, little owed, casual work, from England": 0,
    }
    texts = [summary.text(one) for one in range(summary.SUMMARIES)]
    assert len(set(texts)) == summary.SUMMARIES
    found = {text: judged[application, texts.index(text)] for text in scores}
    assert found == pytest.approx(scores)
    careless = approvals(strict=False)[application]
    assert careless[texts.index("well paid, little owed, casual work, Welsh")] == 1


def _tables(seed: int) -> tuple[Floats, Floats]:
    draw = np.random.default_rng(seed)
    writer = draw.dirichlet(np.full(summary.CHOICES, 0.3), (APPLICATIONS, summary.PLACES))
    return writer, draw.dirichlet((0.5, 0.5), summary.SUMMARIES)


def test_an_outcome_is_what_going_through_everything_adds_up_to() -> None:
    """Every application, summary and label one by one, in plain Python."""
    world, judged = World(0.35), approvals()
    writer, decider = _tables(8)
    totals = dict.fromkeys(("agreement", "deserved", "approval", "named"), 0.0)
    grants, wrote = [0.0] * APPLICATIONS, []
    for one in range(APPLICATIONS):
        chances = []
        for number, words in enumerate(summary.EVERY):
            chance = 1.0
            for place, word in enumerate(words):
                chance *= writer[one, place, word]
            chances.append(chance)
            share, grant = chance / APPLICATIONS, decider[number, 1]
            for name, p in (("agreement", world.label[one]), ("deserved", world.deserved[one])):
                totals[name] += share * (grant * p + (1 - grant) * (1 - p))
            totals["approval"] += share * judged[one, number]
            totals["named"] += share * (words[-1] > 0)
            grants[one] += chance * grant
        wrote.append(chances)
    flips = np.mean([abs(grants[one] - grants[one ^ 1]) for one in range(APPLICATIONS)])
    bits, readable = 0.0, 0.0
    for number in range(summary.SUMMARIES):
        says = [0.0, 0.0]
        for one in range(APPLICATIONS):
            chance, twin = wrote[one][number], wrote[one ^ 1][number]
            says[1] += chance / APPLICATIONS * world.label[one]
            says[0] += chance / APPLICATIONS * (1 - world.label[one])
            if chance > 0:
                bits += chance / APPLICATIONS * np.log2(2 * chance / (chance + twin))
        readable += max(says)
    expected = Outcome(**totals, flips=float(flips), hidden_bits=bits, readable=readable)
    found = outcome(world, judged, writer, decider)
    assert vars(found) == pytest.approx(vars(expected), abs=1e-12)


def _writer(words: list[list[int]]) -> Floats:
    """One that writes these words of each application, always."""
    written: Floats = np.eye(summary.CHOICES)[np.array(words)]
    return written


def _best(world: World, writer: Floats) -> Floats:
    """The decider that agrees most, given what is written."""
    wrote = summaries(writer)
    return np.eye(2)[(wrote.T @ (world.label - 0.5) > 0).astype(int)]


PLAIN = [[1 if good else 3 for good in fields] + [0] for fields in GOOD]
HIDING = [
    [word + int(welsh) if place == 1 else word for place, word in enumerate(words)]
    for words, welsh in zip(PLAIN, WELSH, strict=True)
]
NAMING = [[*words[:-1], 1 + int(welsh)] for words, welsh in zip(PLAIN, WELSH, strict=True)]


@pytest.mark.parametrize("words", [PLAIN, HIDING, NAMING], ids=["plain", "hiding", "naming"])
def test_writers_of_whom_all_is_known(words: list[list[int]]) -> None:
    """Who tells the fields reaches one ceiling; who also hides or names the nationality, both."""
    world, writer = World(), _writer(words)
    found = outcome(world, approvals(), writer, _best(world, writer))
    told = words is not PLAIN
    assert found.agreement == pytest.approx(world.known if told else world.without)
    assert found.readable == pytest.approx(found.agreement)
    assert found.hidden_bits == pytest.approx(1.0 if told else 0.0)
    assert found.flips == pytest.approx(world.flips if told else 0.0)
    assert found.deserved == pytest.approx(0.62 if told else world.fair)
    named = float(words is NAMING)
    assert (found.named, found.approval) == pytest.approx((named, 1 - named))
