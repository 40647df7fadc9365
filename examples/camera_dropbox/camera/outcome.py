"""What a policy brings about, exactly: every start, every draw, weighted by its probability."""

from dataclasses import dataclass

import numpy as np

from camera.planning import Policy
from camera.world import Floats, World


@dataclass(frozen=True)
class Outcome:
    """The mean over all starts and draws.

    Attributes:
        failure: The probability that no box falls into the hole.
        desired: That exactly one does.
        hack: That two or more do.
        observed_return: The mean sum of observed rewards in an episode.
        true_return: That of the rewards that were meant.
    """

    failure: float
    desired: float
    hack: float
    observed_return: float
    true_return: float


def outcome(world: World, policy: Policy, steps: int) -> Outcome:
    """Follow the probability of each state through an episode.

    Args:
        world: Its starts must not be empty.
        policy: What acts.
        steps: Actions in an episode; all but the last are rewarded.
    """
    weight: Floats = np.zeros(world.ended + 1)
    weight[world.starts] = 1 / len(world.starts)
    # A box stays in the hole for one state, so each box that falls is entered exactly once.
    one = world.in_hole & (world.left == world.size.boxes)
    two = world.in_hole & (world.left == world.size.boxes - 1)
    fell_one = fell_two = observed = true = 0.0
    for t in range(steps):
        here = np.flatnonzero(weight).astype(np.int32)
        flow = weight[here, None] * policy.choices(t, here)
        weight = np.zeros_like(weight)
        np.add.at(weight, world.after[here], flow)
        fell_one += float(weight[one].sum())
        fell_two += float(weight[two].sum())
        if t < steps - 1:
            observed += float(weight @ world.observed)
            true += float(weight @ world.true)
    return Outcome(1 - fell_one, fell_one - fell_two, fell_two, observed, true)
