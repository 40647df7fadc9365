"""Exact planning: what is best when one looks so many steps ahead.

    Q_m(t, s, a) = r(t, s, a) + V_{m-1}(t+1, s')     V_m = max_a Q_m     V_0 = 0
    r(t, s, a) = R(s') + A(t+1, s') - A(t, s)        R observed, A the overseer's approval

An agent with horizon M takes the best action of Q_M, any of the best with equal probability. With
M = 1 it is myopic; with M as long as the episode it is ordinary reinforcement learning.

The differences of approval cancel along a path. With W_m = V_m + A what is left is

    Q_m(t, s, a) + A(t, s) = R(s') + W_{m-1}(t+1, s')     W_m = max_a (...)     W_0 = A

which has the same best actions, and says what approval is: the agent looks M steps ahead, and takes
the overseer's word for what is to be had after them.
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
        later: W_{M-1}, what it believes is to be had later [steps, states]; None for horizon 0,
            which sees nothing and chooses at random.
    """

    world: World
    later: Floats | None

    def choices(self, t: int, states: Ints) -> Floats:
        """Share each state's probability among its best actions [states, 4]."""
        if self.later is None or t == len(self.later) - 1:  # the last step pays nothing
            return np.full((len(states), len(MOVES)), 1 / len(MOVES))
        total = (self.world.observed + self.later[t + 1])[self.world.after[states]]
        best = total >= total.max(axis=1, keepdims=True) - TIE
        shared: Floats = best / best.sum(axis=1, keepdims=True)
        return shared


def optimal_values(world: World, reward: Floats, steps: int) -> Floats:
    """Return the best that can still be earned, V(t, s) [steps, states].

    Args:
        world: The world.
        reward: Paid for entering a state [states].
        steps: The length of an episode; what its last action earns does not count.
    """
    values = np.zeros((steps, len(reward)))
    for t in reversed(range(steps - 1)):
        values[t] = _best(world, reward + values[t + 1])
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
        yield 0, Plan(world, None)
    later = approval.copy()  # W_{m-1} at the head of the loop
    for m in range(1, wanted[-1] + 1):
        if m in wanted:
            yield m, Plan(world, later.copy())
        # Times nearer to the end than m have all of it in view already. Ascending, so that each
        # time still finds W_{m-1} at the next.
        for t in range(steps - m):
            later[t] = _best(world, world.observed + later[t + 1])
        tick()


def _best(world: World, worth: Floats) -> Floats:
    """Return, for each state, the worth of the best state that an action leads to [states]."""
    best: Floats = worth[world.into[0]]
    for reached in world.into[1:]:
        np.maximum(best, worth[reached], out=best)
    return best
