"""A model that learns while it acts: what it is told of a segment changes it at once.

The model is one of `transformers` behind an API: all that it knows of earlier segments stands in
the prompt, and each segment is read from its first prompt on, as fixed context. One segment is one
update. One that was not measured is none: what was measured counts 1/p (`runtime.credit`).

An update is a function of the checkpoint and the item. So a checkpoint and the journal are all that
is needed to have every update exactly once, whatever happened in between.
"""

import json
import math
import os
import random
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from monastery.policies.learners.causal_lm import CausalLM, check
from monastery.policies.learners.moments import Moment, Segment, from_items
from monastery.policies.learners.policy_gradient import PolicyGradient
from monastery.policies.learners.torch_learner import adamw
from monastery.runtime.credit import TrainingItem
from monastery.runtime.errors import BadInput

_POINTER, _OPTIMIZER = "training.json", "optimizer.pt"
_FORMAT = "monastery.training.v1"


@dataclass(frozen=True, slots=True)
class Settings:
    """How is learned, and from what.

    Attributes:
        project: The SHA-256 of the project file.
        seed: Of what the model says.
        baseline: What a score is compared with; chosen in advance.
        clip: How far the ratio of a token's chances may go from 1.

    Raises:
        BadInput: A number with which nothing could be learned.
    """

    project: str
    seed: int = 0
    learning_rate: float = 1e-5
    baseline: float = 0.5
    clip: float = 0.2

    def __post_init__(self) -> None:
        for name, least in (("learning_rate", 0.0), ("baseline", -math.inf), ("clip", 0.0)):
            value = getattr(self, name)
            if not least < value < math.inf:
                wanted = "a number above 0" if least == 0 else "a number"
                raise BadInput(f"--{name.replace('_', '-')} {value:g}: choose {wanted}")


@dataclass(frozen=True, slots=True)
class Learned:
    """What came of one segment.

    Attributes:
        score: What its audit found; None: it was not measured, and the model is as it was.
    """

    score: float | None
    loss: float
    tokens: int


class Online:
    """A model and its optimiser.

    Args:
        model: A causal language model of transformers; it is changed.
        settings: How it learns.

    Attributes:
        updates: How many it has had.

    Raises:
        BadInput: The model cannot be trained so.
    """

    def __init__(self, model: Any, settings: Settings) -> None:
        self.model, self.settings, self.updates = model, settings, 0
        network = CausalLM(model)
        why = check(network)
        if why is not None:
            raise BadInput(f"this model cannot be trained: {why}")
        self._optimizer: torch.optim.Optimizer
        self._learner = PolicyGradient(
            network, self._optimize, baseline=settings.baseline, clip=settings.clip
        )

    def _optimize(self, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        self._optimizer = adamw(self.settings.learning_rate)(parameters)
        return self._optimizer

    def learn(self, item: TrainingItem) -> Learned:
        """Learn one segment.

        Raises:
            BadInput: Its tokens were not recorded.
        """
        score = item.earned.score
        if score is None or not item.trainable.answers:
            return Learned(score, 0.0, 0)
        self._learner.begin()
        update = self._learner.learn(Moment.of(_as_it_was_read(item)))
        self._learner.step()
        self.updates += 1
        return Learned(score, update.loss, update.actions)


def _as_it_was_read(item: TrainingItem) -> Segment:
    """Return a segment without the header that journals of other policies need.

    It begins with a prompt, so that no sampled token is the first; and the model, when it answered,
    had read no header.
    """
    headed = from_items([item], start=0).alternatives[0]
    assert headed.logprobs is not None or not item.trainable.answers
    return Segment(
        headed.inputs[1:],
        headed.actions[1:],
        headed.earned,
        None if headed.logprobs is None else headed.logprobs[1:],
    )


@dataclass(frozen=True, slots=True)
class Saved:
    """A checkpoint.

    Attributes:
        episodes: How many are over, and learned.
        updates: How many there were by then.
        model: The folder of the model, as transformers and `policy.local` read it.
    """

    settings: Settings
    episodes: int
    updates: int
    model: Path


def save(folder: Path, online: Online, tokenizer: Any, episodes: int) -> Saved:
    """Write a checkpoint: all of it, or none.

    The pointer is replaced last, so that it names a whole checkpoint at every moment; then the one
    before it is removed.
    """
    name = f"model-{episodes:06}"
    place = folder / name
    shutil.rmtree(place, ignore_errors=True)  # a checkpoint that a crash left half written
    online.model.save_pretrained(place)
    tokenizer.save_pretrained(place)
    torch.save(online._optimizer.state_dict(), place / _OPTIMIZER)
    for path in (*place.iterdir(), place):
        _sync(path)
    told = {
        "format": _FORMAT,
        "settings": asdict(online.settings),
        "episodes": episodes,
        "updates": online.updates,
        "model": name,
    }
    new = folder / f"{_POINTER}.new"
    new.write_text(json.dumps(told, indent=1) + "\n")
    _sync(new)
    new.replace(folder / _POINTER)
    _sync(folder)
    for old in folder.glob("model-*"):
        if old != place:
            shutil.rmtree(old)
    return Saved(online.settings, episodes, online.updates, place)


def saved(folder: Path) -> Saved | None:
    """Return the checkpoint of a folder; None when there is none.

    Raises:
        BadInput: What is there is none.
    """
    try:
        told = json.loads((folder / _POINTER).read_text())
    except FileNotFoundError:
        return None
    except ValueError as exc:
        raise BadInput(f"{folder / _POINTER} is no checkpoint: {exc}") from exc
    if not isinstance(told, dict) or told.get("format") != _FORMAT:
        raise BadInput(f"{folder / _POINTER} is no checkpoint of this version")
    try:
        settings, model = Settings(**told["settings"]), folder / told["model"]
        return Saved(settings, told["episodes"], told["updates"], model)
    except (KeyError, TypeError) as exc:
        raise BadInput(f"{folder / _POINTER} is no checkpoint of this version: {exc}") from exc


def take_up(online: Online, checkpoint: Saved) -> None:
    """Go on from a checkpoint, whose model is loaded already."""
    online.updates = checkpoint.updates
    state = torch.load(checkpoint.model / _OPTIMIZER, weights_only=True)
    online._optimizer.load_state_dict(state)


def set_seeds(seed: int) -> None:
    """Set whatever a model may draw from beside its answers; those have seeds of their own."""
    random.seed(seed)
    np.random.seed(seed & 0xFFFFFFFF)
    torch.manual_seed(seed)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
