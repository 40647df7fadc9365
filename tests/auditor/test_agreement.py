"""Agreement beyond chance, against published worked examples."""

import random
from collections.abc import Hashable, Sequence

import pytest

from monastery.auditor.agreement import Level, ac1, alpha, raw
from monastery.runtime.errors import BadInput

# K. Krippendorff, "Computing Krippendorff's alpha-reliability" (2011), section C: four observers,
# twelve units, missing values. Also the raw ratings of K. L. Gwet's irrCAC (2019).
KRIPPENDORFF = [
    [1, 1, 1],
    [2, 2, 3, 2],
    [3, 3, 3, 3],
    [3, 3, 3, 3],
    [2, 2, 2, 2],
    [1, 2, 3, 4],
    [4, 4, 4, 4],
    [1, 1, 2, 1],
    [2, 2, 2, 2],
    [5, 5, 5],
    [1, 1],
    [3],
]

# Two abstractors classify 100 pregnancies: Gwet's irrCAC (2019), cont3x3abstractors.
ABSTRACTORS = (
    [["ectopic"] * 2] * 13
    + [["aiu"] * 2] * 20
    + [["aiu", "niu"]] * 7
    + [["niu", "aiu"]] * 4
    + [["niu"] * 2] * 56
)

# Six psychiatrists, fifteen patients, five diagnoses: how often each was given. J. L. Fleiss
# (1971), after Gwet's irrCAC (2019), distrib.6raters.
PSYCHIATRISTS = """
    00060 03003 01401 00006 03030 20400 00402 20310 20040 00006 10050 11040 03300 10050 02031
"""
DIAGNOSES = [
    [diagnosis for diagnosis, count in enumerate(row) for _ in range(int(count))]
    for row in PSYCHIATRISTS.split()
]


@pytest.mark.parametrize(
    ("level", "value"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)]
)
def test_krippendorffs_example(level: Level, value: float) -> None:
    """All three levels, with values missing; the unit with one value counts for nothing."""
    told = alpha(KRIPPENDORFF, level)
    assert told.value is not None
    assert round(told.value, 3) == value
    assert (told.items, told.votes) == (11, 40)


@pytest.mark.parametrize(
    ("items", "labels", "expected"),
    [
        (KRIPPENDORFF, range(1, 6), (0.81818, 0.77544, 0.74342)),
        (ABSTRACTORS, ("ectopic", "aiu", "niu"), (0.89, 0.84933, 0.79726)),
        (DIAGNOSES, range(5), (0.55111, 0.44480, 0.42044)),
    ],
)
def test_gwets_examples(
    items: Sequence[Sequence[Hashable]],
    labels: Sequence[Hashable],
    expected: tuple[float, float, float],
) -> None:
    """Raw agreement, AC1 and alpha as Gwet's own program has them, missing votes too."""
    told = (raw(items), ac1(items, labels).value, alpha(items).value)
    assert told == pytest.approx(expected, abs=6e-6)


def test_standard_errors_are_near_the_published_ones() -> None:
    """Gwet's formula gives .084 and .082 for the psychiatrists, the jackknife nearly the same."""
    assert ac1(DIAGNOSES, range(5)).error == pytest.approx(0.084, abs=0.002)
    assert alpha(DIAGNOSES).error == pytest.approx(0.082, abs=0.002)


def test_the_error_of_many_items_is_that_of_repeated_panels() -> None:
    """Left out by parts, the error says how far alpha scatters from one panel to the next."""
    draw = random.Random(1)

    def panel() -> list[list[bool]]:
        return [
            [(draw.random() < 0.2) != (draw.random() < 0.1) for _ in range(3)] for _ in range(400)
        ]

    told = [alpha(panel()) for _ in range(40)]
    values = [one.value for one in told if one.value is not None]
    middle = sum(values) / 40
    scatter = (sum((value - middle) ** 2 for value in values) / 39) ** 0.5
    mean_error = sum(one.error for one in told if one.error is not None) / 40
    assert mean_error == pytest.approx(scatter, rel=0.25)


def test_alpha_misleads_when_bad_items_are_rare_and_ac1_does_not() -> None:
    """One item in fifty is bad or so, 96.5 % of votes agree: alpha says .2, AC1 .96."""
    items = [["good", "good"]] * 960 + [["good", "bad"]] * 35 + [["bad", "bad"]] * 5
    krippendorff, gwet = alpha(items).value, ac1(items, ("good", "bad")).value
    assert raw(items) == pytest.approx(0.965)
    assert krippendorff == pytest.approx(0.2047, abs=1e-4)
    assert gwet == pytest.approx(0.9634, abs=1e-4)


def test_ac1_misleads_of_votes_by_lot_and_alpha_does_not() -> None:
    """The warning's other half: two who draw lots, three good to one bad, have an AC1 of .4."""
    draw = random.Random(1)
    items = [[draw.choice("gggb"), draw.choice("gggb")] for _ in range(1500)]
    assert alpha(items).value == pytest.approx(0.0, abs=0.07)
    assert ac1(items, "gb").value == pytest.approx(0.4, abs=0.07)


@pytest.mark.parametrize("level", ["nominal", "ordinal", "interval"])
def test_perfect_agreement_is_one(level: Level) -> None:
    """Exactly, whatever the numbers and the number of auditors."""
    items = [[score] * (2 + number % 3) for number, score in enumerate((0.1, 0.7, 0.3, 1 / 3, 0.1))]
    assert alpha(items, level).value == 1.0
    assert ac1(items, {0.1, 0.7, 0.3, 1 / 3}).value == 1.0


def test_two_who_always_differ_agree_less_than_by_chance() -> None:
    """Below 0, the lower the fewer items there are."""
    items = [["yes", "no"], ["no", "yes"]]
    assert alpha(items).value == pytest.approx(-0.5)
    assert ac1(items, ("yes", "no")).value == pytest.approx(-1.0)


@pytest.mark.parametrize("level", ["nominal", "ordinal", "interval"])
def test_who_voted_and_in_which_order_does_not_matter(level: Level) -> None:
    """Auditors and items may be exchanged; votes of one auditor alone add nothing to alpha."""
    draw = random.Random(2)
    shuffled = [draw.sample(values, len(values)) for values in KRIPPENDORFF]
    draw.shuffle(shuffled)
    first, then = alpha(KRIPPENDORFF, level), alpha([*shuffled, [4], []], level)
    assert first.value is not None
    assert then.value == pytest.approx(first.value, abs=1e-12)
    assert ac1(shuffled, range(1, 6)).value == pytest.approx(0.77544, abs=6e-6)


def test_the_names_of_labels_do_not_matter_where_they_have_no_order() -> None:
    """Other names, the same agreement."""
    named = [["abcde"[value - 1] for value in values] for values in KRIPPENDORFF]
    assert alpha(named).value == alpha(KRIPPENDORFF).value
    assert ac1(named, "abcde").value == ac1(KRIPPENDORFF, range(1, 6)).value


def test_interval_alpha_knows_no_unit_and_ordinal_no_scale() -> None:
    """Scores out of 10, and from 7 on, agree as those out of 1; ranks outlive any stretching."""
    stretched = [[7 + value * 10 for value in values] for values in KRIPPENDORFF]
    squared = [[value * value for value in values] for values in KRIPPENDORFF]
    assert alpha(stretched, "interval").value == pytest.approx(
        alpha(KRIPPENDORFF, "interval").value or 0, abs=1e-12
    )
    assert alpha(squared, "ordinal").value == alpha(KRIPPENDORFF, "ordinal").value
    assert alpha(squared, "interval").value != alpha(KRIPPENDORFF, "interval").value


@pytest.mark.parametrize("items", [[], [[]], [["a"], ["b"]], [["a", "a"], ["a", "a"]]])
def test_what_cannot_be_told_is_none(items: Sequence[Sequence[str]]) -> None:
    """Nothing to compare, or nothing that differs: None, which is neither 0 nor 1."""
    told = alpha(items)
    assert (told.value, told.error) == (None, None)


@pytest.mark.parametrize("level", ["ordinal", "interval"])
def test_numbers_that_do_not_differ_have_no_alpha(level: Level) -> None:
    """Not even where rounding makes them differ from their mean, or their squares vanish."""
    assert alpha([[0.1, 0.1]] * 3, level).value is None
    if level == "interval":
        assert alpha([[0.0, 0.0], [1e-200, 1e-200]], level).value is None


def test_ac1_of_one_label_alone_is_one_and_of_nothing_none() -> None:
    """It knows of the labels that were not given."""
    assert ac1([["good", "good"]] * 5, ("good", "bad")).value == 1.0
    assert ac1([["good"], ["bad"]], ("good", "bad")).value is None


def test_bad_input_is_refused_in_one_line() -> None:
    """What is wrong, and where."""
    with pytest.raises(BadInput, match=r"^item 1: 'x' is no finite number$"):
        alpha([[1, 2], [1, "x"]], "interval")
    with pytest.raises(BadInput, match=r"^item 0: nan is no finite number$"):
        alpha([[float("nan"), 2.0]], "ordinal")
    with pytest.raises(BadInput, match=r"^item 0: 'maybe' is none of the 2 labels$"):
        ac1([["maybe", "good"]], ("good", "bad"))
    with pytest.raises(BadInput, match="two or more to choose from"):
        ac1([["good", "good"]], ("good", "good"))
