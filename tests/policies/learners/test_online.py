"""A model that learns while it acts: each update is the one that is computed by hand, or none."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

from monastery.policies.learners.online import Online, Settings, save, saved
from monastery.runtime.credit import Answered, Asked, Context, Earned, Trainable, TrainingItem
from monastery.runtime.errors import BadInput
from monastery.runtime.records import RunId, SegmentId

SETTINGS = Settings("project", learning_rate=0.01, baseline=0.5)
PROMPT, SAID = (1, 4, 2), (3, 0, 2)


@pytest.fixture
def model() -> Any:
    """A model of five tokens."""
    torch.manual_seed(3)
    sizes = {"n_embd": 8, "n_layer": 1, "n_head": 2, "n_positions": 16, "vocab_size": 5}
    config = GPT2Config(**sizes, bos_token_id=0, eos_token_id=1)
    return GPT2LMHeadModel(config).double().eval()


def _chances(model: Any) -> Tensor:
    """Return the log-probabilities of what was said, [3]."""
    logits = model(torch.tensor([PROMPT + SAID])).logits[0, len(PROMPT) - 1 : -1]
    return logits.log_softmax(-1).gather(-1, torch.tensor(SAID)[:, None])[:, 0]


@pytest.fixture
def lived(model: Any) -> Callable[[float | None, float], TrainingItem]:
    """Makes a segment of what it earned."""
    drawn = tuple(_chances(model).tolist())

    def made(score: float | None, probability: float) -> TrainingItem:
        return TrainingItem(
            RunId("run"),
            SegmentId("run.1"),
            1,
            "run.1",
            Context((), (Asked({}, PROMPT),)),
            Trainable((Answered({}, SAID, drawn, "v", 1.0),), None, {"kind": "plan"}),
            Earned(score, probability),
        )

    return made


def _by_hand(model: Any, items: list[TrainingItem]) -> list[Tensor]:
    """Return the weights after one step of AdamW for each scored item, in order."""
    model = copy.deepcopy(model)
    old = _chances(model).detach()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.0)
    for item in items:
        if item.earned.score is None:
            continue
        optimizer.zero_grad()
        value = (item.earned.score - 0.5) / item.earned.probability
        (-value * (_chances(model) - old).exp().sum()).backward()
        optimizer.step()
    return [one.detach() for one in model.parameters()]


def _equal(model: Any, expected: list[Tensor]) -> bool:
    found = [one.detach() for one in model.parameters()]
    return all(
        torch.allclose(*pair, rtol=0, atol=1e-6) for pair in zip(found, expected, strict=True)
    )


def test_each_scored_segment_is_one_step_of_its_own_value(model: Any, lived: Any) -> None:
    """Weighted by 1/probability, and divided by one: not by how many were audited by then.

    What a step's size is beside the one before it shows in what AdamW remembers of both.
    """
    items = [lived(0.9, 1.0), lived(None, 0.5), lived(0.1, 0.25), lived(None, 0.0), lived(1.0, 0.5)]
    expected = _by_hand(model, items)
    online = Online(model, SETTINGS)
    told = [online.learn(item) for item in items]
    assert [one.score for one in told] == [0.9, None, 0.1, None, 1.0]
    assert [one.tokens for one in told] == [3, 0, 3, 0, 3]
    assert online.updates == 3
    assert _equal(model, expected)


@pytest.mark.parametrize("probability", [0.0, 0.25])
def test_what_was_not_measured_changes_not_a_bit(
    model: Any, lived: Any, probability: float
) -> None:
    """Nor what the optimiser remembers: no reward is not reward 0."""
    before = copy.deepcopy(model.state_dict())
    online = Online(model, SETTINGS)
    told = online.learn(lived(None, probability))
    assert (told.score, online.updates) == (None, 0)
    assert all(torch.equal(before[name], now) for name, now in model.state_dict().items())


class _Tokenizer:
    """Is written, or fails as on a disk that is full."""

    def __init__(self, *, full: bool = False) -> None:
        self._full = full

    def save_pretrained(self, folder: Path) -> None:
        """Write, or fail."""
        if self._full:
            raise OSError("the disk is full")
        (folder / "tokenizer.json").write_text("{}")


def test_a_checkpoint_that_could_not_be_written_leaves_the_one_before_it(
    tmp_path: Path, model: Any, lived: Any
) -> None:
    """The pointer names a whole one at every moment; a later one takes the place of both."""
    online = Online(model, SETTINGS)
    first = save(tmp_path, online, _Tokenizer(), 0)
    online.learn(lived(0.9, 1.0))
    with pytest.raises(OSError, match="full"):
        save(tmp_path, online, _Tokenizer(full=True), 1)
    assert saved(tmp_path) == first
    assert {"model.safetensors", "optimizer.pt"} <= {one.name for one in first.model.iterdir()}
    again = save(tmp_path, online, _Tokenizer(), 1)
    assert saved(tmp_path) == again
    assert [one.name for one in tmp_path.glob("model-*")] == ["model-000001"]


@pytest.mark.parametrize(
    "told",
    [
        "{",
        "[]",
        '{"format": "monastery.training.v1"}',
        '{"format": "monastery.training.v1", "settings": {"learning": 1}, "episodes": 1}',
    ],
)
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path, told: str) -> None:
    """In one line that names it."""
    (tmp_path / "training.json").write_text(told)
    with pytest.raises(BadInput, match=r"training\.json is no checkpoint"):
        saved(tmp_path)
