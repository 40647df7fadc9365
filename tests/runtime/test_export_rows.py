"""Rows: what of a segment stands in one row, and what it is worth there."""

from dataclasses import replace

import pytest

from monastery.runtime.credit import Earned
from monastery.runtime.errors import BadInput
from monastery.runtime.exports.rows import by_moment, moment_rows
from monastery.runtime.exports.tally import Tally
from tests.runtime.lived import segment


def test_calls_that_go_on_from_each_other_are_one_row() -> None:
    """What the agent fed in between has mask 0 and no log-probability."""
    (row,) = moment_rows([segment("a", ([1, 2], [3, 4]), ([1, 2, 3, 4, 9], [5]))])
    assert row.prompt_ids == (1, 2)
    assert row.completion_ids == (3, 4, 9, 5)
    assert row.completion_mask == (1, 1, 0, 1)
    assert row.logprobs == pytest.approx((-0.3, -0.4, 0.0, -0.5))


def test_a_prompt_that_begins_anew_begins_a_row() -> None:
    """A history cut short, or rendered otherwise, is not pretended to go on; the reward is one."""
    rows = moment_rows(
        [segment("a", ([1, 2], [3, 4]), ([1, 2, 9], [5]), ([1, 2, 9, 5, 8], [6]), score=0.5)]
    )
    assert [(row.prompt_ids, row.completion_ids) for row in rows] == [
        ((1, 2), (3, 4)),
        ((1, 2, 9), (5, 8, 6)),
    ]
    assert [row.reward for row in rows] == [row.advantage for row in rows] == [0.5, 0.5]
    assert [(row.group, row.segment, row.call) for row in rows] == [
        ("run-1:a", "a", 0),
        ("run-1:a", "a", 1),
    ]


def test_another_policy_begins_a_row() -> None:
    """A row has one version, though its tokens go on."""
    item = segment("a", ([1], [2]), ([1, 2], [3]), versions=("first", "second"))
    assert [row.version for row in moment_rows([item])] == ["first", "second"]


def test_log_probabilities_are_all_there_or_none() -> None:
    """Half of them would be taken for all."""
    item = segment("a", ([1], [2]), ([1, 2, 7], [3]))
    first, second = item.trainable.answers
    half = replace(item.trainable, answers=(first, replace(second, logprobs=None)))
    (row,) = moment_rows([replace(item, trainable=half)])
    assert (row.completion_ids, row.logprobs) == ((2, 7, 3), None)


def test_a_rare_audit_counts_more_and_none_counts_nothing() -> None:
    """1/p is in reward and advantage; what was not measured has neither, which is not 0."""
    rare = segment("a", ([1], [2]), score=0.5, probability=0.1)
    never = segment("b", ([1], [2]), score=None, probability=0.1)
    zero = segment("c", ([1], [2]), score=0.0)
    told = [
        (row.reward, row.advantage)
        for item in (rare, never, zero)
        for row in moment_rows([item], baseline=0.2)
    ]
    assert told[0] == (pytest.approx(5.0), pytest.approx(3.0))
    assert told[1] == (None, None)
    assert told[2] == (0.0, pytest.approx(-0.2))


def test_alternatives_are_compared_with_each_other_and_steps_are_not() -> None:
    """The group of a row is its moment."""
    one = segment("a", ([1], [2]), score=0.9, moment="m", probability=0.5)
    other = segment("b", ([1], [3]), score=0.5, moment="m", probability=0.5, live=False)
    later = segment("c", ([1], [4]), score=0.1, index=2)
    moments = list(by_moment([one, other, later]))
    rows = [row for moment in moments for row in moment_rows(moment)]
    assert [row.group for row in rows] == ["run-1:m", "run-1:m", "run-1:c"]
    assert [row.advantage for row in rows] == pytest.approx([0.8, -0.8, 0.1])


def test_a_segment_with_an_unknown_token_is_left_out_and_counted() -> None:
    """Its reward is for all that it did: a part of it is not trained with that."""
    item = segment("a", ([1], [2]), ([1, 2], [3]))
    first, second = item.trainable.answers
    lost = replace(item.trainable, answers=(first, replace(second, token_ids=None, logprobs=None)))
    tally = Tally(["run-1"])
    items = [replace(item, trainable=lost), segment("b", ([1], [2]))]
    assert [row.segment for row, _ in tally.rows(items, 0.0)] == ["b"]
    assert (tally.segments, tally.measured, tally.wordless, tally.taught) == (2, 2, 1, 1)
    assert tally.doubts()[0].startswith("1 of 2 scored steps are left out")


def test_what_cannot_be_trained_on_is_said() -> None:
    """Taken tokens instead of drawn ones; temperatures that differ; nothing that was measured."""
    greedy = segment("a", ([1], [0]), temperature=0.0)  # token 0: log-probability -0
    tally = Tally(["run-1"])
    list(tally.rows([greedy, segment("b", ([1], [2]))], 0.0))
    assert [one.split(" ", 4)[:4] for one in tally.doubts()] == [
        ["1", "of", "2", "rows"],
        ["Rows", "were", "sampled", "at"],
    ]
    empty = Tally(["run-1"])
    list(empty.rows([segment("a", ([1], [2]), score=None)], 0.0))
    with pytest.raises(BadInput, match="none of 1 steps has a score"):
        empty.check_tokens("trl")
    empty.check_tokens("steps")


def test_every_segment_is_counted_in_the_sum() -> None:
    """The mean that rows estimate is over all proposals, audited or not."""
    items = [segment("a", ([1], [2]), probability=0.5), segment("b", ([1], [2]), score=None)]
    last = segment("c", ([1], [2]))
    ended = replace(last, trainable=replace(last.trainable, proposal=None), earned=Earned(None, 0))
    tally = Tally(["run-1"])
    rows = [row for row, _ in tally.rows([*items, ended], 0.0)]
    assert (len(rows), tally.segments, tally.measured, tally.taught) == (3, 2, 1, 1)
