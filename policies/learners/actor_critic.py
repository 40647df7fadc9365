"""Actor and critic: generalised advantages whose trace and bootstrap end at the boundary.

What a critic expects of the state *after* a boundary is the value of consequences; it is asked for
nothing there. The last action of a segment is compared with its score, and that is the end of it.
"""

import torch
from torch import Tensor

from monastery.policies.learners.moments import Moment, Segment
from monastery.policies.learners.networks import Network
from monastery.policies.learners.objective import (
    action_logprobs,
    entropy,
    policy_loss,
    segment_advantages,
)
from monastery.policies.learners.torch_learner import MakeOptimizer, TorchLearner, adamw


class ActorCritic(TorchLearner):
    """Learns with a critic as its baseline. I1; I2 unless attached.

    With `clip` and recorded log-probabilities, a run may be learned several times (PPO). Advantages
    are never normalised: that would compare segments with each other.

    Args:
        network: The policy, with a critic.
        optimizer: Makes what changes it.
        discount: Of each action to the next, within a segment.
        trace: lambda of the trace, which ends at the boundary.
        critic: How much the critic's loss counts.
        clip: How far a ratio may go from 1; None for plain policy gradients.
        entropy: How much a nat of entropy is worth, in scores.
        attached: Whether the state keeps its graph across boundaries.
    """

    def __init__(
        self,
        network: Network,
        optimizer: MakeOptimizer | None = None,
        *,
        discount: float = 1.0,
        trace: float = 0.95,
        critic: float = 0.5,
        clip: float | None = None,
        entropy: float = 0.0,
        attached: bool = False,
    ) -> None:
        super().__init__(network, optimizer or adamw(1e-3), attached=attached)
        self._discount, self._trace, self._critic = discount, trace, critic
        self._clip, self._entropy = clip, entropy

    def _advantages(self, moment: Moment) -> list[float | None]:
        """Return each alternative's own worth: the critic is the baseline, not the others."""
        return [segment.earned.value() for segment in moment.alternatives]

    def _loss(self, segment: Segment, advantage: float, features: Tensor) -> Tensor:
        chosen, actions, old = self._chosen(segment, features)
        logits = self._watched(self.network.choose(chosen))  # [n, A]
        values = self._watched(self.network.value(chosen))  # [n]
        # The weight 1/p is not in the rewards but on the whole loss: the critic learns scores.
        told = segment.action_rewards(advantage / segment.earned.share)
        rewards = torch.from_numpy(told).to(values)  # [n]
        found = segment_advantages(rewards, values.detach(), self._discount, self._trace)  # [n]
        targets = found + values.detach()
        logprobs = action_logprobs(logits, actions)  # [n]
        loss = policy_loss(logprobs, found, old, self._clip)
        loss = loss + self._critic * (values - targets).square().sum()
        if self._entropy:
            loss = loss - self._entropy * entropy(logits)
        return segment.earned.share * loss
