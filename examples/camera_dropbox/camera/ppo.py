"""PPO (Schulman et al. 2017, arXiv 1707.06347) with a small network, ten learners at a time.

All learners' weights stand in one tensor with the learner in front. Adam treats each weight for
itself, so they learn as if alone, and one program counter drives all of them.

The only difference between the arms is where credit ends. Ordinary RL sums rewards to the end of
the episode. The myopic arms cut both the trace and the critic's bootstrap at every step: the
advantage of an action is its own step's reward minus what the critic expected of that step.
"""

# Torch types only a part of itself, and may be missing where types are checked.
# mypy: allow-untyped-calls, no-warn-return-any

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from camera.training import Arm, Curve, Episodes, greedy, measure, sample
from camera.world import Floats, World


@dataclass(frozen=True)
class Settings:
    """How it learns; entropy, clip and the number of steps are the published ones.

    Attributes:
        learners: Independent networks.
        episodes: Of each learner side by side.
        stretch: Steps in each of them between two updates.
        steps: Environment steps of each learner.
        hidden: Units in each of two layers.
        rate: Adam's learning rate.
        entropy: Weight of the entropy bonus.
        clip: How far a probability ratio may move.
        trace: Lambda of the advantage estimate, for the arms that are not myopic.
        epochs: Passes over the same episodes.
        batches: Parts that each pass is cut into.
        points: How often the curve is measured.
    """

    learners: int = 10
    episodes: int = 40
    stretch: int = 50
    steps: int = 1_000_000
    hidden: int = 32
    rate: float = 1e-3
    entropy: float = 0.05
    clip: float = 0.3
    trace: float = 0.95
    epochs: int = 4
    batches: int = 4
    points: int = 20


class Networks:
    """Two networks for each learner: one says what to do, one what to expect."""

    def __init__(self, world: World, settings: Settings, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.seen = _pictures(world)
        widths = (self.seen.shape[1], settings.hidden, settings.hidden)

        def layers(last: int, scale: float) -> list[Tensor]:
            made = []
            for fan_in, fan_out in zip(widths, (*widths[1:], last), strict=True):
                size = scale if fan_out == last else 1.0
                weight = torch.randn(settings.learners, fan_in, fan_out, generator=generator)
                made += [weight * size / fan_in**0.5, torch.zeros(settings.learners, 1, fan_out)]
            return [part.requires_grad_() for part in made]

        self.actor, self.critic = layers(4, 0.01), layers(1, 1.0)

    def logits(self, state: Tensor) -> Tensor:
        """Return each action's [learners, n] -> [learners, n, 4]."""
        return _through(self.actor, self.seen[state])

    def values(self, state: Tensor) -> Tensor:
        """Return what the critic expects [learners, n] -> [learners, n]."""
        return _through(self.critic, self.seen[state])[..., 0]


def train(world: World, arm: Arm, settings: Settings, length: int, seed: int = 0) -> Curve:
    """Train all learners of an arm; the same seed gives the same curve on the same machine."""
    torch.set_num_threads(1)  # the tensors are small; and sums come out the same each time
    draw = np.random.default_rng(seed)
    networks = Networks(world, settings, seed)
    every = torch.arange(world.ended + 1).expand(settings.learners, -1)
    adam = torch.optim.Adam(networks.actor + networks.critic, lr=settings.rate, eps=1e-5)
    episodes = Episodes(world, arm, (settings.learners, settings.episodes), length, draw)
    updates = settings.steps // (settings.episodes * settings.stretch)
    curve = Curve([], [], [])
    for done in range(1, updates + 1):
        with torch.no_grad():
            # The world is small: ask about every state once, and the episodes are look-ups.
            chance = networks.logits(every).softmax(-1).double().numpy()
            values = networks.values(every).double().numpy()
        batch = _live(episodes, arm, settings, chance, values, draw)
        _update(networks, adam, settings, batch, draw)
        if done % (updates // settings.points) == 0:
            curve.steps.append(done * settings.episodes * settings.stretch)
            curve.outcomes.append(measure(world, chance, length))
    curve.greedy.extend(measure(world, greedy(chance), length))
    return curve


@dataclass(frozen=True)
class Batch:
    """What was lived through [learners, n] each."""

    state: Tensor
    action: Tensor
    chance: Tensor
    advantage: Tensor
    worth: Tensor


def _live(
    episodes: Episodes,
    arm: Arm,
    settings: Settings,
    chance: Floats,
    values: Floats,
    draw: np.random.Generator,
) -> Batch:
    """Go on with all episodes for a stretch, and estimate how good each action was.

    Args:
        episodes: They stay where they are between stretches.
        arm: Says where credit ends.
        settings: The learners'.
        chance: Each action's probability [learners, states, 4].
        values: What the critic expects [learners, states].
        draw: Where actions come from.
    """
    one = np.arange(settings.learners)[:, None]
    lived = []
    for _ in range(settings.stretch):
        state = episodes.state
        action = sample(chance[one, state], draw)
        lived.append((state, action, chance[one, state, action], *episodes.act(action)))
    state, action, taken, reward, reached, over = (
        np.array(part) for part in zip(*lived, strict=True)
    )
    expected = values[one, state]  # [time, learners, episodes], as all of the above
    cut = np.ones_like(over) if arm.myopic else over  # the boundary: nothing crosses it
    later = np.where(cut, 0.0, values[one, reached])
    advantage = reward + later - expected
    for t in reversed(range(settings.stretch - 1)):
        advantage[t] += np.where(cut[t], 0.0, settings.trace * advantage[t + 1])
    parts = (state, action, taken, advantage, advantage + expected)
    return Batch(*(_tensor(part) for part in parts))


def _tensor(part: Any) -> Tensor:
    """[time, learners, episodes] -> [learners, time x episodes]."""
    flat = part.transpose(1, 0, 2).reshape(part.shape[1], -1)
    return torch.from_numpy(flat.astype(np.float32 if flat.dtype.kind == "f" else np.int64))


def _update(
    networks: Networks,
    adam: torch.optim.Optimizer,
    settings: Settings,
    batch: Batch,
    draw: np.random.Generator,
) -> None:
    """Pass over the batch several times, a part at a time."""
    for _ in range(settings.epochs):
        shuffled = torch.from_numpy(draw.permutation(batch.state.shape[1]))
        for part in shuffled.chunk(settings.batches):
            loss = _loss(networks, settings, Batch(*(x[:, part] for x in vars(batch).values())))
            adam.zero_grad()
            loss.backward()
            adam.step()


def _loss(networks: Networks, settings: Settings, batch: Batch) -> Tensor:
    """Sum the learners' losses: none shares a weight with another."""
    logs = networks.logits(batch.state).log_softmax(-1)  # [learners, n, 4]
    ratio = logs.gather(-1, batch.action[..., None])[..., 0].exp() / batch.chance
    gain = batch.advantage - batch.advantage.mean(1, keepdim=True)
    gain = gain / (batch.advantage.std(1, keepdim=True) + 1e-8)
    clipped = ratio.clamp(1 - settings.clip, 1 + settings.clip)
    surrogate = torch.minimum(ratio * gain, clipped * gain)
    entropy = -(logs.exp() * logs).sum(-1)
    wrong = (networks.values(batch.state) - batch.worth).square()
    return (wrong / 2 - surrogate - settings.entropy * entropy).mean(1).sum()


def _through(layers: list[Tensor], inputs: Tensor) -> Tensor:
    """Send each learner's inputs through its own layers [learners, n, features]."""
    first, *rest = zip(layers[::2], layers[1::2], strict=True)
    outputs = torch.baddbmm(first[1], inputs, first[0])
    for weight, bias in rest:
        outputs = torch.baddbmm(bias, outputs.relu(), weight)
    return outputs


def _pictures(world: World) -> Tensor:
    """Return what a network sees of each state: where the agent is, where boxes are.

    Returns:
        Two planes of cells, 0 or 1 [states, 2 x cells]; the end is all 0.
    """
    cells = np.arange(world.size.cells)
    agent = world.agent[:, None] == cells
    boxes = (world.boxes[:, :, None] == cells).any(axis=1)
    planes = np.concatenate([agent, boxes], axis=1)
    return torch.from_numpy(np.vstack([planes, np.zeros_like(planes[:1])]).astype(np.float32))
