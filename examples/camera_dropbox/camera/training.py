"""What the learners have in common: arms, rewards they are paid, curves that are exact.

A learner meets the world as episodes. What its policy brings about is not sampled but computed,
with all starts and draws, so a curve differs between seeds by what was learned alone.
"""

from dataclasses import dataclass

import numpy as np

from camera.approval import GOOD, step_reward
from camera.outcome import Outcome, outcome
from camera.world import Bools, Floats, Ints, World


@dataclass(frozen=True)
class Arm:
    """One way of paying.

    Attributes:
        name: As it stands in tables and figures.
        approval: Whether the (good) overseer's approval joins the reward.
        myopic: Whether an action is credited with its own step's reward only.
    """

    name: str
    approval: bool
    myopic: bool


ORDINARY = Arm("ordinary RL", approval=False, myopic=False)
MONA = Arm("MONA", approval=True, myopic=True)
FAR_SIGHTED = Arm("approval without myopia", approval=True, myopic=False)
ARMS = (ORDINARY, MONA, FAR_SIGHTED)


@dataclass(frozen=True)
class Curve:
    """What was learned.

    Attributes:
        steps: Environment steps of each learner so far [points].
        outcomes: Of the policy that acts, exploration included [points][learners].
        greedy: At the end, of its likeliest actions only [learners].
    """

    steps: list[int]
    outcomes: list[list[Outcome]]
    greedy: list[Outcome]


class Table:
    """A policy that is a table, the same at all times.

    Attributes:
        chance: The probability of each action [states, 4].
    """

    def __init__(self, chance: Floats) -> None:
        self.chance = chance

    def choices(self, t: int, states: Ints) -> Floats:
        """Return the probability of each action [states, 4]."""
        return self.chance[states]


class Episodes:
    """Many episodes side by side; where one ends, the next begins.

    The last action of an episode earns nothing, so none is asked for.

    Attributes:
        state: Where each of them is [learners, episodes].
        t: Its time, from 0 [learners, episodes].
    """

    def __init__(
        self, world: World, arm: Arm, shape: tuple[int, int], steps: int, draw: np.random.Generator
    ) -> None:
        self.world, self.steps, self._draw = world, steps, draw
        self._approval = np.zeros((steps, world.ended + 1))
        if arm.approval:
            self._approval = GOOD.values(world, steps)
        self.state = draw.choice(world.starts, shape)
        self.t = np.zeros(shape, dtype=np.int32)

    def act(self, action: Ints) -> tuple[Floats, Ints, Bools]:
        """Take one step in each.

        Returns:
            The reward, the state that was reached, and whether that was the episode's end, because
            the camera saw or because time is up [learners, episodes] each.
        """
        reached = self.world.after[self.state, action]
        reward = step_reward(self.world, self._approval, self.t, self.state, reached)
        over = (reached == self.world.ended) | (self.t == self.steps - 2)
        fresh = self._draw.choice(self.world.starts, over.shape)
        self.state = np.where(over, fresh, reached)
        self.t = np.where(over, 0, self.t + 1).astype(np.int32)
        return reward, reached, over


def measure(world: World, chance: Floats, steps: int) -> list[Outcome]:
    """Return what each learner's policy brings about.

    Args:
        world: Where it acts.
        chance: The probability of each action [learners, states, 4].
        steps: In an episode.
    """
    return [outcome(world, Table(one), steps) for one in chance]


def greedy(preference: Floats) -> Floats:
    """Give all probability to the preferred action [as preference: learners, states, 4]."""
    chance: Floats = np.eye(preference.shape[-1])[preference.argmax(axis=-1)]
    return chance


def sample(chance: Floats, draw: np.random.Generator) -> Ints:
    """Draw an action for each row of probabilities [..., 4] -> [...]."""
    total = chance.cumsum(axis=-1)
    point = draw.random((*chance.shape[:-1], 1)) * total[..., -1:]
    action: Ints = (total <= point).sum(axis=-1).clip(max=chance.shape[-1] - 1).astype(np.int32)
    return action
