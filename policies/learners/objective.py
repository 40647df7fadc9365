"""The objective of one segment: token-level policy gradients, and a critic's advantages.

Each function sees the actions of one segment. Losses are sums over its actions: dividing by their
number would make an action of a long segment count less.
"""

import torch
from torch import Tensor


def action_logprobs(logits: Tensor, actions: Tensor) -> Tensor:
    """Return the log-probabilities [n] of actions [n], from logits [n, A]."""
    return logits.log_softmax(-1).gather(-1, actions.unsqueeze(-1)).squeeze(-1)


def policy_loss(
    logprobs: Tensor,
    advantages: Tensor,
    old: Tensor | None,
    clip: float | None,
) -> Tensor:
    """Return the loss whose gradient is the policy gradient of one segment, negated.

    Without `clip`: REINFORCE (Williams 1992). With it: the clipped ratio of each action's own
    probability now and then (Schulman et al. 2017). A ratio of whole sequences is never formed.

    Args:
        logprobs: [n], of the actions under the policy that learns.
        advantages: [n] or [], constants.
        old: [n], under the policy that chose; None: it is the one that learns.
        clip: How far from 1 a ratio may go and still be trained on.
    """
    if clip is None:
        return -(advantages * logprobs).sum()
    ratio = (logprobs - (logprobs.detach() if old is None else old)).exp()
    bounded = ratio.clamp(1.0 - clip, 1.0 + clip)
    return -torch.minimum(ratio * advantages, bounded * advantages).sum()


def entropy(logits: Tensor) -> Tensor:
    """Return the sum of the entropies [nats] of n distributions, from logits [n, A]."""
    logprobs = logits.log_softmax(-1)
    return -(logprobs.exp() * logprobs).sum()


def segment_advantages(rewards: Tensor, values: Tensor, discount: float, trace: float) -> Tensor:
    """Return the generalised advantage of each action of one segment (Schulman et al. 2016).

    The last action is the last: after it comes the boundary, where the trace ends and nothing is
    worth anything. There is no argument for what comes after.

    Args:
        rewards: [n], of each action.
        values: [n], what a critic expected before each action; constants.
        discount: Of each action to the next, within the segment.
        trace: lambda of the trace; 1 compares with what really came, 0 with the next value.
    """
    after = torch.cat([values[1:], values.new_zeros(1)])
    errors = (rewards + discount * after - values).tolist()
    running = 0.0
    for t in reversed(range(len(errors))):
        running = errors[t] + discount * trace * running
        errors[t] = running
    return values.new_tensor(errors)
