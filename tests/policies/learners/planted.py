"""A trainer of a whole run at once, written apart from the learners, with a choice of leaks.

Without a leak it is what a careful person would write: an actor and a critic, a clipped ratio, each
segment for itself. Each leak is one that real trainers have.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from monastery.policies.learners.boundary import TrainerSubject
from monastery.policies.learners.networks import Recurrent
from monastery.policies.learners.rehearsal import Kind, RehearsedStep
from monastery.policies.learners.watch import Watch

Leak = Literal[
    "none",
    "return-to-go",
    "one advantage for the whole run",
    "advantage grouped over steps",
    "normalised over steps",
    "GAE over the edge",
    "critic bootstrapped from the next step",
    "filtered by outcome",
    "sequence-level ratio",
    "dropped detach",
    "critic's loss not cut",
    "first token from before the boundary",
    "unaudited is zero",
    "divided by the measured",
]


@dataclass
class _Part:
    """What the policy said of one segment: all [n], n actions."""

    logprobs: Tensor
    old: Tensor
    values: Tensor
    reward: float | None
    weight: float

    @property
    def measured(self) -> bool:
        return self.reward is not None


def planted(leak: Leak, *, kind: Kind | None = None) -> TrainerSubject:
    """Return a trainer with a leak."""
    network = Recurrent(actions=7, vocabulary=7, width=8)

    def backward(run: Sequence[RehearsedStep], watch: Watch) -> None:
        parts = _read(network, run, watch, leak)
        loss = _loss(parts, run, leak)
        if loss.requires_grad:
            loss.backward()

    return TrainerSubject(kind or Kind(7, moments=3), network.parameters(), backward)


def _read(
    network: Recurrent, run: Sequence[RehearsedStep], watch: Watch, leak: Leak
) -> list[_Part]:
    state, crossing, parts = None, torch.zeros(1, 8), []
    for number, step in enumerate(run):
        (segment,) = step.moment.alternatives
        features, after = network(torch.from_numpy(segment.inputs).unsqueeze(0), state)
        features = features[0]
        if leak == "first token from before the boundary":
            features = torch.cat([crossing, features[:-1]])
        where = torch.from_numpy(segment.chosen)
        logits = watch.output(number, network.choose(features[where]))
        actions = torch.from_numpy(segment.actions)[where].unsqueeze(-1)
        assert segment.logprobs is not None
        parts.append(
            _Part(
                logits.log_softmax(-1).gather(-1, actions).squeeze(-1),
                torch.from_numpy(segment.logprobs)[where].float(),
                watch.output(number, network.value(features[where])),
                segment.earned.score,
                segment.earned.weight,
            )
        )
        crossing = watch.boundary(number, after)
        state = crossing if leak == "dropped detach" else crossing.detach()
    return parts


def _loss(parts: list[_Part], run: Sequence[RehearsedStep], leak: Leak) -> Tensor:
    known = [part.reward for part in parts if part.reward is not None]
    loss, count = torch.zeros(()), len(parts)
    if leak == "divided by the measured":
        count = max(len(known), 1)
    for number, part in enumerate(parts):
        reward = part.reward
        if reward is None and leak == "unaudited is zero":
            reward = 0.0
        if reward is None or (leak == "filtered by outcome" and not run[-1].outcome):
            continue
        if leak == "return-to-go":
            reward += sum(later.reward or 0.0 for later in parts[number + 1 :])
        if leak == "one advantage for the whole run":
            reward = sum(known)
        if leak == "advantage grouped over steps":
            reward -= sum(known) / len(known)
        if leak == "normalised over steps":
            reward /= float(torch.tensor(known).std(unbiased=False)) + 1e-3
        values, after = part.values.detach(), torch.zeros(())
        following = parts[number + 1] if number + 1 < len(parts) else None
        if following is not None and leak == "critic bootstrapped from the next step":
            after = following.values.detach()[0]
        advantages = _gae(reward, values, after)
        if following is not None and following.measured and leak == "GAE over the edge":
            assert following.reward is not None
            beyond = _gae(following.reward, following.values.detach(), torch.zeros(()))
            decay = 0.9 ** torch.arange(len(values), 0, -1)
            advantages = advantages + decay * beyond[0]
        ratio = (part.logprobs - part.old).exp()
        if leak == "sequence-level ratio":
            ratio = torch.stack([(one.logprobs - one.old).mean() for one in parts]).mean().exp()
        bounded = ratio.clamp(0.5, 2.0)
        surrogate = torch.minimum(ratio * advantages, bounded * advantages).sum()
        critic = (part.values - (advantages + values)).square().sum()
        if following is not None and leak == "critic's loss not cut":
            critic = critic + (part.values[-1] - following.values[0]).square()
        loss = loss + part.weight * (0.5 * critic - surrogate)
    return loss / count


def _gae(reward: float, values: Tensor, after: Tensor) -> Tensor:
    """Return generalised advantages, lambda 0.9, of a segment whose last action is rewarded."""
    advantages, running = torch.zeros_like(values), torch.zeros(())
    following = after
    for t in reversed(range(len(values))):
        earned = reward if t == len(values) - 1 else 0.0
        running = earned + following - values[t] + 0.9 * running
        advantages[t], following = running, values[t]
    return advantages
