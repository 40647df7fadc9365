"""Policy gradients without a critic: for recurrent networks, perceptrons and transformers alike.

REINFORCE, or the clipped ratio of each action, with leave-one-out baselines among the alternatives
of one moment. With a recurrent network this is backpropagation through time, cut at the boundary
and streamed: its memory is that of one segment, whatever the length of the run.
"""

from torch import Tensor

from monastery.policies.learners.moments import Moment, Segment
from monastery.policies.learners.networks import Network
from monastery.policies.learners.objective import action_logprobs, entropy, policy_loss
from monastery.policies.learners.torch_learner import MakeOptimizer, TorchLearner, adamw


class PolicyGradient(TorchLearner):
    """Learns by policy gradients. I1; I2 unless attached.

    Args:
        network: The policy.
        optimizer: Makes what changes it.
        baseline: What a score without alternatives is compared with; chosen in advance.
        clip: How far a ratio may go from 1; None for REINFORCE.
        entropy: How much a nat of entropy is worth, in scores.
        attached: Whether the state keeps its graph across boundaries.
    """

    def __init__(
        self,
        network: Network,
        optimizer: MakeOptimizer | None = None,
        *,
        baseline: float = 0.0,
        clip: float | None = None,
        entropy: float = 0.0,
        attached: bool = False,
    ) -> None:
        super().__init__(network, optimizer or adamw(1e-3), attached=attached)
        self._baseline, self._clip, self._entropy = baseline, clip, entropy

    def _advantages(self, moment: Moment) -> list[float | None]:
        return moment.advantages(self._baseline)

    def _loss(self, segment: Segment, advantage: float, features: Tensor) -> Tensor:
        chosen, actions, old = self._chosen(segment, features)
        logits = self._watched(self.network.choose(chosen))  # [n, A]
        logprobs = action_logprobs(logits, actions)  # [n]
        loss = policy_loss(logprobs, logprobs.new_tensor(advantage), old, self._clip)
        if self._entropy:
            loss = loss - self._entropy * segment.earned.share * entropy(logits)
        return loss
