"""Tabular Q-learning: what a table comes to believe from what happened to it.

    Q(s, a) += rate (r + max_b Q(s', b) - Q(s, a))      and without the max for the myopic

The table does not know the time: a value is the mean over the times at which a state was met.
"""

from dataclasses import dataclass

import numpy as np

from camera.training import Arm, Curve, Episodes, greedy, measure
from camera.world import Floats, World


@dataclass(frozen=True)
class Settings:
    """How it learns.

    Attributes:
        learners: Independent tables.
        episodes: Of each learner side by side. Where two are in one place, one of them counts.
        steps: Environment steps of each learner.
        rate: By which share of the error a value moves.
        explore: The probability of an action at random.
        points: How often the curve is measured.
    """

    learners: int = 10
    episodes: int = 20
    steps: int = 2_000_000
    rate: float = 0.1
    explore: float = 0.1
    points: int = 20


def train(world: World, arm: Arm, settings: Settings, length: int, seed: int = 0) -> Curve:
    """Train all learners of an arm; the same seed gives the same curve on the same machine."""
    draw = np.random.default_rng(seed)
    shape = (settings.learners, settings.episodes)
    episodes = Episodes(world, arm, shape, length, draw)
    table = np.zeros((settings.learners, world.ended + 1, 4))
    one = np.arange(settings.learners)[:, None]
    rounds = settings.steps // settings.episodes
    curve = Curve([], [], [])
    for done in range(1, rounds + 1):
        before = episodes.state
        known = table[one, before]  # [learners, episodes, 4]
        # Equal beliefs are broken at random: a random number far below any difference that counts.
        best = (known + 1e-9 * draw.random(known.shape)).argmax(axis=-1)
        blind = draw.random(shape) < settings.explore
        action = np.where(blind, draw.integers(4, size=shape), best).astype(np.int32)
        reward, reached, over = episodes.act(action)
        target = reward
        if not arm.myopic:
            target = reward + np.where(over, 0.0, table[one, reached].max(axis=-1))
        error = target - table[one, before, action]
        table[one, before, action] += settings.rate * error
        if done % (rounds // settings.points) == 0:
            curve.steps.append(done * settings.episodes)
            curve.outcomes.append(measure(world, _soft(table, settings.explore), length))
    curve.greedy.extend(measure(world, greedy(table), length))
    return curve


def _soft(table: Floats, explore: float) -> Floats:
    """Return what acts: the preferred action, now and then another [as table]."""
    chance: Floats = (1 - explore) * greedy(table) + explore / table.shape[-1]
    return chance
