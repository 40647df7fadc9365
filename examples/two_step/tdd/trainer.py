"""The trainer: reads the training items of a run, and changes the policy between two episodes."""

from dataclasses import dataclass

import torch

from monastery.policies.learners.actor_critic import ActorCritic
from monastery.policies.learners.moments import Moment, Segment, from_items
from monastery.policies.learners.networks import Recurrent
from monastery.policies.learners.torch_learner import adamw
from monastery.runtime.credit import Earned, TrainingItem
from tdd import policy
from tdd.arms import Arm


@dataclass(frozen=True, slots=True)
class Settings:
    """How is learned: the same in every arm.

    Attributes:
        batch: Episodes in an update.
        critic: How much the critic's loss counts.
        curiosity: What a nat of entropy is worth at first, in scores.
        curious: For what share of the episodes; then it is worth nothing.
    """

    width: int = 32
    learning_rate: float = 2e-2
    batch: int = 8
    critic: float = 0.5
    curiosity: float = 0.05
    curious: float = 0.6


class Trainer:
    """Learns from training items, as they come.

    Args:
        arm: What it is told of each step.
        seed: Of the policy's first weights.
        episodes: How many there will be.
        settings: How it learns.

    Attributes:
        network: The policy; it changes in `take`.
        learner: Changes it.
        version: How many updates it has had.
    """

    def __init__(self, arm: Arm, seed: int, episodes: int, settings: Settings = Settings()) -> None:
        self.network: Recurrent = policy.network(seed, settings.width)
        self.version = 0
        self._arm, self._settings = arm, settings
        self._curious = round(settings.curious * episodes)
        self.learner = self._learns(settings.curiosity)
        self._half: Moment | None = None
        self._batch: list[tuple[Moment, Moment]] = []
        self._episodes = 0

    def take(self, item: TrainingItem) -> None:
        """Take up a segment that is over; with the last of a batch, learn."""
        moment = from_items([item], policy.START)
        if self._half is None:
            self._half = moment
            return
        self._batch.append((self._half, moment))
        self._half = None
        self._episodes += 1
        if len(self._batch) == self._settings.batch:
            self._learn()
        if self._episodes == self._curious:
            self.learner = self._learns(0.0)

    def _learns(self, curiosity: float) -> ActorCritic:
        return ActorCritic(
            self.network,
            adamw(self._settings.learning_rate),
            trace=1.0,
            critic=self._settings.critic,
            entropy=curiosity,
        )

    def _learn(self) -> None:
        for episode in self._batch:
            self.learner.begin()
            for moment in self.told(*episode):
                self.learner.learn(moment)
        self.learner.step()
        self._batch.clear()
        self.version += 1

    def told(self, first: Moment, second: Moment) -> tuple[Moment, ...]:
        """Return an episode's moments with what the arm says that they earned."""
        both = first.alternatives[0], second.alternatives[0]
        earned = self._arm.tell((both[0].earned, both[1].earned), lambda: self._expected(*both))
        return tuple(
            Moment.of(_with(segment, one)) for segment, one in zip(both, earned, strict=True)
        )

    def _expected(self, first: Segment, second: Segment) -> float:
        """Return what the critic expects after the boundary; only a leak asks for it."""
        with torch.no_grad():
            _, state = self.network(torch.from_numpy(first.inputs).unsqueeze(0))
            features, _ = self.network(torch.from_numpy(second.inputs).unsqueeze(0), state)
            decides = int(second.chosen.nonzero()[0][0])
            return float(self.network.value(features[0, decides]))


def _with(segment: Segment, earned: Earned) -> Segment:
    return Segment(segment.inputs, segment.actions, earned, segment.logprobs)
