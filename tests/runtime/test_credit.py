"""Credit: what a segment is worth, from its own moment alone, right on average over draws."""

import itertools
import math
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monastery.runtime.credit import Earned, advantages, horvitz_thompson, weight

numbers = st.floats(-10.0, 10.0)
scores = st.floats(0.0, 1.0)
chances = st.floats(0.05, 1.0)
judged = st.none() | scores
measured = st.builds(Earned, scores, chances, judged)


@st.composite
def moments(
    draw: st.DrawFn, found: st.SearchStrategy[float | None], min_size: int = 0
) -> list[Earned]:
    """Alternatives of one draw."""
    probability, pairs = (
        draw(chances),
        st.lists(st.tuples(found, judged), min_size=min_size, max_size=6),
    )
    return [Earned(score, probability, told) for score, told in draw(pairs)]


def _draws(probabilities: Sequence[float]) -> Iterator[tuple[float, tuple[bool, ...]]]:
    """Yield every way in which audits can be drawn, with its probability."""
    for drawn in itertools.product((False, True), repeat=len(probabilities)):
        parts = (p if yes else 1.0 - p for p, yes in zip(probabilities, drawn, strict=True))
        yield math.prod(parts), drawn


@given(st.lists(measured, min_size=1, max_size=6), numbers)
def test_on_average_over_all_draws_it_is_the_mean_of_all_scores(
    segments: list[Earned], baseline: float
) -> None:
    """Whatever the probabilities, the judge and the baseline: every draw is enumerated."""
    expected = 0.0
    for chance, drawn in _draws([one.probability for one in segments]):
        values = [
            Earned(one.score if yes else None, one.probability, one.judged).value(baseline)
            for one, yes in zip(segments, drawn, strict=True)
        ]
        expected += chance * horvitz_thompson(values, len(segments))
    mean = sum(one.score or 0.0 for one in segments) / len(segments) - baseline
    assert expected == pytest.approx(mean, abs=1e-9)


@given(st.lists(scores, min_size=2, max_size=5), chances)
def test_on_average_an_alternative_is_compared_with_the_mean_of_the_others(
    found: list[float], probability: float
) -> None:
    """A moment is drawn as a whole: audited, all of its alternatives are."""
    audited = advantages([Earned(score, probability) for score in found])
    skipped = advantages([Earned(None, probability) for _ in found])
    assert skipped == [None] * len(found)
    for number, score in enumerate(found):
        others = [*found[:number], *found[number + 1 :]]
        advantage = audited[number]
        assert advantage is not None
        assert probability * advantage == pytest.approx(score - sum(others) / len(others), abs=1e-9)


@given(moments(scores, min_size=2), numbers, numbers)
def test_alternatives_are_compared_with_each_other_and_nothing_else(
    moment: list[Earned], one: float, other: float
) -> None:
    """They cancel out, and a baseline from elsewhere changes nothing."""
    told = [value for value in advantages(moment, one) if value is not None]
    assert math.fsum(told) == pytest.approx(0.0, abs=1e-6)
    assert told == pytest.approx(advantages(moment, other), abs=1e-6)


@given(moments(st.none() | scores))
def test_an_alternatives_own_score_moves_its_own_advantage_only_as_far_as_it_counts(
    moment: list[Earned],
) -> None:
    """Leave one out: the baseline of an alternative does not know its score."""
    before = advantages(moment)
    for number, one in enumerate(moment):
        if one.score is None:
            continue
        raised = [*moment]
        raised[number] = Earned(one.score + 1.0, one.probability, one.judged)
        was, now = before[number], advantages(raised)[number]
        assert was is not None
        assert now is not None
        assert now - was == pytest.approx(one.weight, abs=1e-6)


def test_what_is_absent_is_not_zero() -> None:
    """Unaudited, unmeasured: nothing, in whatever company, and not even compared with."""
    absent, zero = Earned(None, 0.5), Earned(0.0, 0.5)
    assert absent.value() is None
    assert absent.reward is None
    assert (zero.value(), zero.reward) == (0.0, 0.0)
    assert advantages([absent, Earned(0.5, 0.5)]) == [None, 1.0]
    assert advantages([zero, Earned(0.5, 0.5)]) == [-1.0, 1.0]


def test_a_sum_is_divided_by_all_moments() -> None:
    """Those that were not audited count, whether they are listed or not."""
    assert horvitz_thompson([2.0, None, None, None], 4) == 0.5
    assert horvitz_thompson([2.0], 4) == 0.5
    with pytest.raises(ValueError, match="count the unaudited ones too"):
        horvitz_thompson([1.0, 1.0], 1)
    with pytest.raises(ValueError, match="count the unaudited ones too"):
        horvitz_thompson([], 0)


def test_a_judge_speaks_for_what_was_not_audited_and_is_corrected_by_what_was() -> None:
    """The doubly robust form; without a judge it is not used."""
    assert Earned(None, 0.25, judged=0.6).value() == 0.6
    assert Earned(0.5, 0.25, judged=0.6).value() == pytest.approx(0.6 + 4 * (0.5 - 0.6))
    assert Earned(0.5, 0.25, judged=0.6).share == 1.0
    assert Earned(0.5, 0.25).share == 4.0


@pytest.mark.parametrize("probability", [0.0, -0.1, 1.1, math.nan])
def test_a_weight_needs_a_probability(probability: float) -> None:
    """What could never be audited speaks for nobody."""
    with pytest.raises(ValueError, match="is not"):
        weight(probability)


def test_alternatives_are_of_one_draw() -> None:
    """Segments with different probabilities were not drawn together, and are not compared."""
    with pytest.raises(ValueError, match="not alternatives of one draw"):
        advantages([Earned(0.5, 0.5), Earned(0.5, 0.25)])


def test_what_cannot_have_been_earned_is_refused() -> None:
    """A score without an audit, and numbers that are none."""
    with pytest.raises(ValueError, match="where the audit's probability is 0"):
        Earned(0.5, 0.0)
    with pytest.raises(ValueError, match="is not from 0 to 1"):
        Earned(0.5, 1.5)
    with pytest.raises(ValueError, match="write None where nothing was measured"):
        Earned(math.nan)
    assert Earned(None, 0.0).value() is None
