"""Exact planning: what is best when one looks so many steps ahead.

    Q_m(t, s, a) = r(t, s, a) + V_{m-1}(t+1, s')     V_m = max_a Q_m     V_0 = 0

An agent with horizon M takes the best action of Q_M, any of the best with equal probability. With
M = 1 it is myopic; with M as long as the episode it is ordinary reinforcement learning.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from camera.world import MOVES, Floats, Ints, World

TIE = 1e-9
"""Actions that differ by less are equally good: rounding is far below, a cent of reward above."""

Tick = Callable[[], None]
"""Called once in a while by what takes long."""


def idle() -> None:
    """Do nothing: a tick for those who do not watch."""


class Policy(Protocol):
    """What acts in a world."""

    def choices(self, t: int, states: Ints) -> Floats:
        """Return the probability of each action at time t [states, 4]."""
        ...


@dataclass(frozen=True)
class Plan:
    """The exact policy of one horizon.

    Attributes:
        world: Where it acts.
        approval: The overseer's values, which join the reward [steps, all states].
        later: V_{M-1}, what it believes is to be had later [steps, all states]; None for horizon 0,
            which sees nothing and chooses at random.
    """

    world: World
    approval: Floats
    later: Floats | None

    def choices(self, t: int, states: Ints) -> Floats:
        """Share each state's probability among its best actions [states, 4]."""
        if self.later is None or t == len(self.later) - 1:
            return np.full((len(states), len(MOVES)), 1 / len(MOVES))
        after = self.world.after[states]
        total = step_reward(self.world, self.approval, t, states) + self.later[t + 1][after]
        best = total >= total.max(axis=1, keepdims=True) - TIE
        return best / best.sum(axis=1, keepdims=True)


def step_reward(world: World, approval: Floats, t: int, states: Ints | slice) -> Floats:
    """Return what the agent is paid for each action: r_MONA [states, 4].

    The reward that is observed, and by how much the overseer finds the new state better than the
    old one. Approval of zero everywhere leaves the observed reward alone; the last step pays 0.
    """
    after = world.after[states]
    if t == len(approval) - 1:
        return np.zeros(after.shape)
    better: Floats = approval[t + 1][after] - approval[t][states, None]
    return world.observed[after] + better


def optimal_values(world: World, reward: Floats, steps: int) -> Floats:
    """Return the best that can still be earned, V(t, s) [steps, states].

    Args:
        world: The world.
        reward: Paid for entering a state [states].
        steps: The length of an episode; what its last action earns does not count.
    """
    values = np.zeros((steps, len(reward)))
    for t in reversed(range(steps - 1)):
        values[t] = (reward + values[t + 1])[world.after].max(axis=1)
    return values


def policy_values(world: World, reward: Floats, policy: Policy, steps: int) -> Floats:
    """Return what a policy still earns on average, V(t, s) [steps, states]."""
    values = np.zeros((steps, len(reward)))
    everywhere = np.arange(len(reward), dtype=np.int32)
    for t in reversed(range(steps - 1)):
        each = (reward + values[t + 1])[world.after]
        values[t] = (policy.choices(t, everywhere) * each).sum(axis=1)
    return values


def plans(
    world: World, approval: Floats, horizons: Iterable[int], tick: Tick = idle
) -> Iterator[tuple[int, Plan]]:
    """Yield the plan of each horizon, in ascending order.

    Args:
        world: The world.
        approval: [steps, states]; zeros for none.
        horizons: Each from 0 to the number of steps.
        tick: Called once for every horizon up to the largest.
    """
    wanted = sorted(set(horizons))
    steps = len(approval)
    if wanted[0] == 0:
        yield 0, Plan(world, approval, None)
    values = np.zeros_like(approval)  # V_{m-1} at the head of the loop
    for m in range(1, wanted[-1] + 1):
        if m in wanted:
            yield m, Plan(world, approval, values.copy() if m < wanted[-1] else values)
        if m < wanted[-1]:
            # Times nearer to the end than m have all of it in view already. Ascending, so that
            # each time still finds V_{m-1} at the next.
            for t in range(steps - m):
                reward = step_reward(world, approval, t, slice(None))
                values[t] = (reward + values[t + 1][world.after]).max(axis=1)
        tick()
