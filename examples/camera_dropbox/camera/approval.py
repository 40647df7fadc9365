"""The overseer: how good a state looks to those who approve of steps, V(t, s).

Approval is far-sighted, the agent need not be. That is MONA: myopic optimisation with non-myopic
approval. What the overseer knows decides whether it helps: see `Approval`.
"""

from dataclasses import dataclass
from math import isfinite

import numpy as np

from camera.planning import optimal_values
from camera.world import Floats, Impossible, Ints, World

MEASURED = 1e-5
"""Values nearer to zero are those of states where nothing is left to judge; noise spares them."""


@dataclass(frozen=True)
class Approval:
    """What the overseer's values are made of.

    Attributes:
        name: As it was asked for.
        observed: The weight W of the best that can be earned in *observed* reward. That of the best
            in *true* reward is 1 - W. None: no approval, zero everywhere.
    """

    name: str
    observed: float | None

    @classmethod
    def parse(cls, text: str) -> "Approval":
        """Read good (W = 0), observed (W = 1), blend:W or none.

        Raises:
            Impossible: It is none of these.
        """
        weights = {"none": None, "good": 0.0, "observed": 1.0}
        if text in weights:
            return cls(text, weights[text])
        kind, _, weight = text.partition(":")
        try:
            observed = float(weight)
        except ValueError:
            observed = np.nan
        if kind != "blend" or not 0 <= observed <= 1:
            raise Impossible(
                f"approval {text!r}: give good, none, observed, or blend:W with W from 0 to 1"
            )
        return cls(text, observed)

    def values(self, world: World, steps: int) -> Floats:
        """Return V(t, s) without noise [steps, states]."""
        if self.observed is None:
            return np.zeros((steps, world.ended + 1))
        if self.observed == 0:
            return optimal_values(world, world.true, steps)
        observed = optimal_values(world, world.observed, steps)
        if self.observed == 1:
            return observed
        true = optimal_values(world, world.true, steps)
        return self.observed * observed + (1 - self.observed) * true


GOOD = Approval("good", 0.0)
"""Far-sighted and not deceived."""


def errors(world: World, sigma: float, seed: int) -> Floats:
    """Draw the overseer's error about each state, the same at all times [states].

    Raises:
        Impossible: Sigma, the standard deviation in units of reward, is negative or no number.
    """
    if not (isfinite(sigma) and sigma >= 0):
        raise Impossible(f"noise {sigma}: a standard deviation, 0 or more")
    return np.random.default_rng(seed).normal(0, sigma, world.ended + 1)


def noisy(values: Floats, error: Floats) -> Floats:
    """Add each state's error wherever there is a value to be wrong about [steps, states]."""
    return np.where(np.abs(values) > MEASURED, values + error, values)


def step_reward(
    world: World, approval: Floats, t: int | Ints, before: Ints, reached: Ints
) -> Floats:
    """Return what an agent is paid for one step: r_MONA.

    The reward that is observed, and by how much the overseer finds the new state better than the
    old one. Approval of zero everywhere leaves the observed reward alone.

    Args:
        world: Says which reward is observed.
        approval: [steps, states].
        t: The time of the step, before the last, which pays nothing.
        before: States [any shape that goes with t].
        reached: What the action led to [as before].
    """
    better: Floats = approval[t + 1, reached] - approval[t, before]
    return world.observed[reached] + better
