"""Strengths from preferences: a published example, and what must hold of any preferences."""

import math
import random

import pytest

from monastery.auditor.bradley_terry import Preference, bradley_terry, preferences
from monastery.runtime.errors import BadInput

# A. Agresti, "Categorical Data Analysis" (2002), section 10.6: the American League's eastern
# division of 1987, 13 games between any two; who beat whom how often. [winner][loser]
TEAMS = ("Milwaukee", "Detroit", "Toronto", "New York", "Boston", "Cleveland", "Baltimore")
WON = [
    [0, 7, 9, 7, 7, 9, 11],
    [6, 0, 7, 5, 11, 9, 9],
    [4, 6, 0, 7, 7, 8, 12],
    [6, 8, 6, 0, 6, 7, 10],
    [6, 2, 6, 7, 0, 7, 12],
    [4, 4, 5, 6, 6, 0, 6],
    [2, 4, 1, 3, 1, 7, 0],
]
GAMES: list[Preference] = [
    (winner, loser, float(won))
    for winner, row in zip(TEAMS, WON, strict=True)
    for loser, won in zip(TEAMS, row, strict=True)
    if won
]


def test_the_american_league() -> None:
    """Without a prior: Agresti's table 10.11, relative to Baltimore."""
    told = bradley_terry(TEAMS, GAMES, prior=0)
    assert told.converged
    relative = [round(told.logs[team] - told.logs["Baltimore"], 2) for team in TEAMS]
    assert relative == [1.58, 1.44, 1.29, 1.25, 1.11, 0.68, 0.0]
    assert sum(told.logs.values()) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("prior", [0.0, 0.1, 0.5, 3.0])
def test_each_is_preferred_as_often_as_its_strength_says(prior: float) -> None:
    """What makes the most likely strengths: wins counted are wins expected, the prior's too."""
    told = bradley_terry(TEAMS, GAMES, prior=prior)
    strengths = {team: math.exp(log) for team, log in told.logs.items()}
    for team, own in strengths.items():
        won = sum(number for winner, _, number in GAMES if winner == team) + prior
        expected = 2 * prior * told.scores[team] + sum(
            number * own / (own + strengths[loser if winner == team else winner])
            for winner, loser, number in GAMES
            if team in (winner, loser)
        )
        assert expected == pytest.approx(won, abs=1e-8)


def test_one_that_was_always_preferred_has_a_finite_score() -> None:
    """A ranking of four: in order, apart, and as far above the middle as below it."""
    told = bradley_terry("abcd", preferences(["a", "b", "c", "d"]))
    assert told.converged
    a, b, c, d = (told.scores[one] for one in "abcd")
    assert 1 > a > b > 0.5 > c > d > 0
    assert (a + d, b + c) == pytest.approx((1, 1), abs=1e-9)


@pytest.mark.parametrize("prior", [0.5, 1e-6])
@pytest.mark.parametrize("times", [1, 1_000_000])
def test_it_comes_to_rest_whatever_is_given(prior: float, times: int) -> None:
    """With a prior next to nothing, and with preferences by the million."""
    given = [(*pair, weight * times) for *pair, weight in preferences(["a", "bc", "d", "e"])]
    told = bradley_terry("abcde", given, prior=prior)  # type: ignore[arg-type] # a pair and a weight
    assert told.converged
    assert all(math.isfinite(log) for log in told.logs.values())
    assert told.scores["b"] == pytest.approx(told.scores["c"], abs=1e-9)


def test_the_order_of_alternatives_and_preferences_does_not_matter() -> None:
    """Nor do their names: the live one can be hidden anywhere."""
    told = bradley_terry(TEAMS, GAMES)
    draw = random.Random(5)
    for _ in range(5):
        teams, games = draw.sample(TEAMS, len(TEAMS)), draw.sample(GAMES, len(GAMES))
        other = bradley_terry(teams, games)
        for team in TEAMS:
            assert other.logs[team] == pytest.approx(told.logs[team], abs=1e-9)


def test_ties_make_equals_and_no_preference_the_middle() -> None:
    """All tied: all the same; never compared: a score of a half, which is the prior's alone."""
    told = bradley_terry("abc", preferences(["abc"]))
    assert list(told.scores.values()) == pytest.approx([0.5] * 3)
    left_out = bradley_terry("abc", preferences(["a", "b"]))
    assert left_out.scores["c"] == pytest.approx(0.5)
    assert list(bradley_terry("ab", []).scores.values()) == pytest.approx([0.5, 0.5])


def test_more_auditors_who_agree_say_it_more_clearly() -> None:
    """Two rankings tell the best from the worst more than one does."""
    one = bradley_terry("abc", preferences("abc"))
    two = bradley_terry("abc", [*preferences("abc"), *preferences("abc")])
    split = bradley_terry("abc", [*preferences("abc"), *preferences("cba")])
    assert two.scores["a"] > one.scores["a"] > split.scores["a"]
    assert split.scores["a"] == pytest.approx(0.5)


def test_a_ranking_is_all_its_pairs() -> None:
    """Each to all behind it, once; of two in one place, half each way."""
    assert sorted(preferences(["a", "bc", "d"])) == [
        ("a", "b", 1.0),
        ("a", "c", 1.0),
        ("a", "d", 1.0),
        ("b", "c", 0.5),
        ("b", "d", 1.0),
        ("c", "b", 0.5),
        ("c", "d", 1.0),
    ]


def test_bad_input_is_refused_in_one_line() -> None:
    """What is wrong, and the mend."""
    with pytest.raises(BadInput, match="'a' stands twice"):
        list(preferences(["a", "ba"]))
    for names in ("a", "aa"):
        with pytest.raises(BadInput, match="two or more, each once"):
            bradley_terry(names, [])
    with pytest.raises(BadInput, match="'x' was compared, and is none"):
        bradley_terry("ab", [("a", "x", 1.0)])
    with pytest.raises(BadInput, match="with itself"):
        bradley_terry("ab", [("a", "a", 1.0)])
    for weight in (-1.0, math.nan, math.inf):
        with pytest.raises(BadInput, match="write a number from 0 on"):
            bradley_terry("ab", [("a", "b", weight)])
    with pytest.raises(BadInput, match="write 0 or more"):
        bradley_terry("ab", [], prior=-0.5)
    with pytest.raises(BadInput, match=r"^'a' never lost to 'b'.*give one above 0$"):
        bradley_terry("abcd", preferences("abcd"), prior=0)
    with pytest.raises(BadInput, match=r"^'d' never beat 'a'.*give one above 0$"):
        bradley_terry("dabc", preferences("abcd"), prior=0)
