"""Moments: what a learner is given, and what it can not be given."""

from dataclasses import fields

import numpy as np
import pytest

from monastery.policies.learners.moments import NOTHING, Moment, Segment, from_items
from monastery.runtime.credit import Answered, Asked, Context, Earned, Trainable, TrainingItem
from monastery.runtime.errors import BadInput
from monastery.runtime.records import RunId, SegmentId

EARNED = Earned(0.5, 0.5)


def test_an_action_stands_at_the_input_after_which_it_was_chosen() -> None:
    """A sampled token is the action of the position before it; at the last nothing is."""
    segment = Segment.from_tokens(
        [9, 4, 5, 6], [False, True, False, True], EARNED, logprobs=[0.0, -1.0, -9.0, -2.0]
    )
    assert segment.inputs.tolist() == [9, 4, 5, 6]
    assert segment.actions.tolist() == [4, NOTHING, 6, NOTHING]
    assert segment.logprobs is not None
    assert segment.logprobs.tolist() == [-1.0, 0.0, -2.0, 0.0]
    assert segment.chosen.tolist() == [True, False, True, False]


def test_a_segment_opens_with_a_token_that_was_not_sampled() -> None:
    """Else its first action would hang on a position before the boundary."""
    with pytest.raises(BadInput, match="begin each segment with a token that was given"):
        Segment.from_tokens([4, 5], [True, True], EARNED)


@pytest.mark.parametrize(
    ("inputs", "actions", "more", "said"),
    [
        ([], [], {}, "L at least 1"),
        ([1, 2], [1], {}, r"\(2,\) inputs and \(1,\) actions"),
        ([1], [1], {"logprobs": [0.0, 0.0]}, r"logprobs are \(2,\)"),
        ([1, 2], [1, 0], {"rewards": [0.5, 0.5]}, "rewards add up to 1.0; the score is 0.5"),
        ([1, 2], [1, NOTHING], {"rewards": [0.0, 0.5]}, "rewards add up to 0.0"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(
    inputs: list[int], actions: list[int], more: dict[str, list[float]], said: str
) -> None:
    """One line says which, and how they should be."""
    with pytest.raises(BadInput, match=said):
        Segment.of(inputs, actions, EARNED, **more)


def test_tokens_need_a_mark_each() -> None:
    """A list of marks that is too short would leave tokens of nobody."""
    with pytest.raises(BadInput, match="3 tokens, 1 times sampled or not"):
        Segment.from_tokens([1, 2, 3], [False], EARNED)


def test_inputs_are_numbers_or_observations() -> None:
    """Whole numbers in a row are numbers; everything else is read as observations."""
    assert Segment.of([1, 2], [0, 0], EARNED).inputs.dtype == np.int64
    assert Segment.of([[1, 2], [3, 4]], [0, 0], EARNED).inputs.dtype == np.float32


def test_a_moment_has_one_draw_and_goes_on_from_one_of_its_own() -> None:
    """Segments of several draws are not alternatives."""
    one, other = Segment.of([1], [1], EARNED), Segment.of([1], [1], Earned(0.5, 0.25))
    with pytest.raises(BadInput, match="one draw"):
        Moment((one, other))
    with pytest.raises(BadInput, match="goes on from alternative 1, but there are 1"):
        Moment((one,), live=1)
    with pytest.raises(BadInput, match="there are 0"):
        Moment(())


def test_there_is_no_place_for_what_came_of_it() -> None:
    """The shapes a learner is given: a new field must be thought about before it stands here."""
    assert {one.name for one in fields(Moment)} == {"alternatives", "live"}
    assert {one.name for one in fields(Segment)} == {
        "inputs",
        "actions",
        "earned",
        "logprobs",
        "rewards",
    }
    assert {one.name for one in fields(Earned)} == {"score", "probability", "judged"}


def _item(*calls: tuple[Asked, Answered], **more: bool) -> TrainingItem:
    asked, answers = tuple(one for one, _ in calls), tuple(other for _, other in calls)
    return TrainingItem(
        RunId("r"),
        SegmentId("r.1"),
        1,
        "r.1",
        Context((), asked),
        Trainable(answers),
        EARNED,
        **more,
    )


def _call(prompt: tuple[int, ...], sampled: tuple[int, ...]) -> tuple[Asked, Answered]:
    return Asked({}, prompt), Answered({}, sampled, tuple(-0.1 * one for one in sampled))


def test_recorded_tokens_become_a_segment() -> None:
    """What goes on from the last call is read once; what the policy wrote is trained on."""
    moment = from_items([_item(_call((1, 2), (3, 4)), _call((1, 2, 3, 4, 5), (6,)))], start=0)
    (segment,) = moment.alternatives
    assert segment.inputs.tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert segment.actions.tolist() == [-1, -1, 3, 4, -1, 6, -1]
    assert segment.logprobs is not None
    assert segment.logprobs.tolist() == pytest.approx([0, 0, -0.3, -0.4, 0, -0.6, 0])


def test_a_history_that_was_rewritten_is_read_anew() -> None:
    """The second prompt does not go on from the first, so that all of it is given again."""
    moment = from_items([_item(_call((1, 2), (3,)), _call((8, 3), (6,)))], start=0)
    assert moment.alternatives[0].inputs.tolist() == [0, 1, 2, 3, 8, 3, 6]
    assert moment.alternatives[0].actions.tolist() == [-1, -1, 3, -1, -1, 6, -1]


def test_items_that_are_no_moment_are_refused() -> None:
    """Tokens that were not recorded, several moments, and several that went on."""
    with pytest.raises(BadInput, match="an answer's tokens were not recorded"):
        from_items([_item((Asked({}), Answered({})))], start=0)
    item = _item(_call((1,), (2,)))
    with pytest.raises(BadInput, match="2 alternatives of moment"):
        from_items([item, item], start=0)
    with pytest.raises(BadInput, match="0 items are not of one moment"):
        from_items([], start=0)
    moment = from_items([_item(_call((1,), (2,)), live=False), item], start=0)
    assert moment.live == 1
