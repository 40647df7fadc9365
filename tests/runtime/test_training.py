"""Training items: what the journal says of each segment, and nothing of any other's worth."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from monastery.runtime.credit import Earned, TrainingItem
from monastery.runtime.errors import AuditFailed
from monastery.runtime.records import Outcome, RunId, SegmentId, Step
from monastery.runtime.store import Store
from monastery.runtime.training import kept_tokens, told_tokens, training_items
from tests.runtime.world import Notebook, SetAuditor, Small, approve

pytestmark = pytest.mark.virtual


class Marked(Notebook):
    """An executor whose outcomes can be recognised."""

    def __init__(self, word: str) -> None:
        super().__init__()
        self.word = word

    async def execute(self, step: Step) -> Outcome:
        """Say which step it was."""
        await super().execute(step)
        return Outcome("done", {"came": f"{self.word}-{step.index}"})


class Telling:
    """A policy that tells its tokens."""

    name = "telling"

    async def call(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Answer as a server of vLLM does."""
        number = body["ask"]
        logprobs = [{"token": "a", "logprob": -0.5}, {"token": "b", "logprob": -number}]
        choice = {"token_ids": [7, number], "logprobs": {"content": logprobs}}
        return {"prompt_token_ids": [1, number], "choices": [choice]}


async def _agent(inside: Any) -> int:
    for number in (1, 2, 3):
        await inside.model({"ask": number})
        await inside.propose("note", f"payload-{number}", "why")
    return 0


async def _items(home: Path, *votes: Any, word: str = "outcome", **more: Any) -> list[TrainingItem]:
    small = Small(
        home, _agent, [SetAuditor(*votes)], notebook=Marked(word), policy=Telling(), **more
    )
    row = small.new()
    await small.live(row)
    with Store.open(home) as store:
        return list(training_items(store, row.run))


def _unnamed(item: TrainingItem) -> TrainingItem:
    """Return an item without what is new in every run: its names, and hashes that hold them."""
    proposal = item.trainable.proposal
    kept = None if proposal is None else {**proposal, "digest": ""}
    trainable = replace(item.trainable, proposal=kept)
    return replace(item, run=RunId(""), segment=SegmentId(""), moment="", trainable=trainable)


async def test_an_item_tells_what_was_given_what_was_done_and_what_it_earned(
    tmp_path: Path,
) -> None:
    """Each segment in order, the last one without a proposal too."""
    items = await _items(tmp_path, approve(0.8), audit={"rate": 1.0})
    assert [item.index for item in items] == [1, 2, 3, 4]
    item = items[1]
    assert [step["payload"] for step in item.context.earlier] == [{"text": "payload-1"}]
    assert [step["content"] for step in item.context.earlier] == [{"came": "outcome-1"}]
    (asked,), (answer,) = item.context.asked, item.trainable.answers
    assert (asked.request, asked.prompt_ids) == ({"ask": 2}, (1, 2))
    assert (answer.token_ids, answer.logprobs) == ((7, 2), (-0.5, -2.0))
    assert item.trainable.proposal["payload"] == {"text": "payload-2"}
    assert item.earned == Earned(0.8, 1.0)
    assert items[3].trainable.proposal is None
    assert items[3].earned == Earned(None, 0.0)
    assert len({item.moment for item in items}) == 4


async def test_no_other_segments_reward_changes_an_item(tmp_path: Path) -> None:
    """Two runs that are equal but for what was scored: each item differs in its own score only."""
    one = await _items(tmp_path / "one", approve(0.1), approve(0.5), approve(0.9))
    other = await _items(tmp_path / "other", approve(0.7), approve(0.5), approve(0.3))
    for was, now in zip(one, other, strict=True):
        now = replace(now, earned=was.earned) if now.index in (1, 3) else now
        assert _unnamed(was) == _unnamed(now)


async def test_nothing_that_came_of_it_changes_an_item(tmp_path: Path) -> None:
    """Two runs that are equal but for outcomes: the first items are the same, the others' past."""
    one = await _items(tmp_path / "one", approve(), word="good")
    other = await _items(tmp_path / "other", approve(), word="bad")
    assert _unnamed(one[0]) == _unnamed(other[0])
    for was, now in zip(one[1:], other[1:], strict=True):
        assert was.context.earlier != now.context.earlier
        assert was.trainable.answers == now.trainable.answers
        assert was.earned == now.earned


async def test_unaudited_and_unmeasured_have_no_score_and_are_there(tmp_path: Path) -> None:
    """They are counted, and teach nothing; what was scored 0 is something else."""
    never = await _items(tmp_path / "never", approve(), rate=0.0)
    failed = await _items(tmp_path / "failed", AuditFailed("broke"))
    zero = await _items(tmp_path / "zero", approve(0.0))
    assert [item.earned for item in never[:3]] == [Earned(None, 0.0)] * 3
    assert [item.earned for item in failed[:3]] == [Earned(None, 1.0)] * 3
    assert [item.earned for item in zero[:3]] == [Earned(0.0, 1.0)] * 3


@pytest.mark.parametrize(
    ("response", "prompt", "sampled", "logprobs"),
    [
        ({"token_ids": [1], "logprobs": [-0.5], "prompt_token_ids": [2]}, (2,), (1,), (-0.5,)),
        (
            {"status": 200, "response": {"prompt_token_ids": [2], "choices": [{"token_ids": [1]}]}},
            (2,),
            (1,),
            None,
        ),
        ({"token_ids": [1, 2], "logprobs": [-0.5]}, None, (1, 2), None),
        ({"token_ids": ["1"], "prompt_token_ids": [True]}, None, None, None),
        ({"choices": [{"message": {"content": "text"}}]}, None, None, None),
        ({"choices": "none"}, None, None, None),
        ({"choices": [{"token_ids": [1]}, {"token_ids": [2]}]}, None, None, None),
        ({"erased": True}, None, None, None),
        ("text", None, None, None),
    ],
)
def test_tokens_are_taken_where_they_fit_together(
    response: Any, prompt: Any, sampled: Any, logprobs: Any
) -> None:
    """An answer is a stranger's JSON: what it does not tell is not made up."""
    assert told_tokens(response) == (prompt, sampled, logprobs)


def test_what_a_local_model_keeps_is_taken_with_the_chances_of_the_draw() -> None:
    """Not with those at temperature 1; and of several answers none, as the used one is unknown."""
    sample = {"ids": [4, 5], "logprobs": [-1.0, -2.0], "drawn_logprobs": [-0.5, -0.75]}
    one = {"prompt_ids": [1, 2], "samples": [sample], "temperature": 0.5}
    assert kept_tokens(one) == ((1, 2), (4, 5), (-0.5, -0.75))
    assert kept_tokens({**one, "samples": [sample, sample]}) == ((1, 2), None, None)
    assert kept_tokens({"erased": True}) == (None, None, None)
