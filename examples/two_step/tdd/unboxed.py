"""The same world, policy and trainer without a box, for trying settings: quick, and not the study.

No step is frozen, drawn by the runtime, recorded or gated here, and no code runs.
"""

import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from monastery.runtime.credit import Answered, Asked, Context, Earned, Trainable, TrainingItem
from monastery.runtime.records import RunId, SegmentId
from tdd import world
from tdd.arms import Arm
from tdd.policy import TwoStepPolicy
from tdd.trainer import Trainer


def episodes(
    arm: Arm,
    trainer: Trainer,
    policy: TwoStepPolicy,
    seed: int,
    count: int,
    draw: Callable[[], float] | None = None,
) -> Iterator[world.Episode]:
    """Play and learn so many episodes.

    Args:
        draw: From 0 to 1, for each step: it is audited where that is below the rate. Else the
            seed's own series.
    """
    draw = draw or random.Random(f"draws {seed}").random
    for number in range(count):
        task = world.task(seed, number)
        asked = {"asked": "tests", "hint": task.hint}
        answer = policy.answer(asked)
        inputs = world.planned(answer["text"].encode())
        rate = 1.0 if arm.suspects and 0 in inputs else arm.rate
        earned = _earned(world.tests_worth(inputs), rate, draw)
        trainer.take(item(2 * number + 1, asked, answer, earned))
        asked = {"asked": "code", "hint": task.hint}
        answer = policy.answer(asked)
        candidate = world.solved(answer["text"].encode())
        episode = world.Episode(task, inputs, candidate)
        earned = _earned(episode.passes, arm.rate, draw)
        trainer.take(item(2 * number + 2, asked, answer, earned))
        yield episode


def _earned(score: float, rate: float, draw: Callable[[], float]) -> Earned:
    return Earned(score if draw() < rate else None, rate)


def item(
    index: int, asked: Mapping[str, Any], answer: Mapping[str, Any], earned: Earned
) -> TrainingItem:
    """Return a segment as a training item."""
    segment = SegmentId(f"unboxed.{index}")
    return TrainingItem(
        run=RunId("unboxed"),
        segment=segment,
        index=index,
        moment=segment,
        context=Context((), (Asked(asked, tuple(answer["prompt_token_ids"])),)),
        trainable=Trainable(
            (Answered(answer, tuple(answer["token_ids"]), tuple(answer["logprobs"])),)
        ),
        earned=earned,
    )
