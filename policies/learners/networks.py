"""Small networks that read a stream of inputs and choose actions: with a memory, and without.

Every network of this package has the same shape, so that any learner works with any of them:

    features, state = network(inputs, state)   # [B, L(, D)] -> [B, L, H]; state None: run begins
    logits, values = network.choose(features), network.value(features)

The state is what is remembered: a tuple of tensors or of such tuples, which only `map_state` looks
into. What else stands in it (where tensors lie) is carried along.
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from monastery.policies.learners import gru

State = Any
"""None before the first input; then whatever the network remembers."""


class Network(nn.Module):
    """Reads inputs and chooses among actions.

    Attributes:
        actions: How many there are.
        observations: The width D of an input that is a vector; None where inputs are numbers.
        batches: Whether states of runs of different lengths can lie side by side in a batch.
    """

    actions: int
    observations: int | None
    batches: bool = True

    @abstractmethod
    def forward(self, inputs: Tensor, state: State = None) -> tuple[Tensor, State]:
        """Read.

        Args:
            inputs: [B, L] int64, or [B, L, D] float32.
            state: What was remembered of what came before; it is not changed.

        Returns:
            features [B, L, H] after each input, and the state after the last.
        """

    @abstractmethod
    def choose(self, features: Tensor) -> Tensor:
        """Return logits [..., actions] from features [..., H]."""

    def value(self, features: Tensor) -> Tensor:
        """Return a critic's values [...] from features [..., H]."""
        raise NotImplementedError(f"{type(self).__name__} has no critic")

    def stack(self, states: list[State]) -> State:
        """Return the states of several readers, each of batch 1, side by side in a batch."""
        raise NotImplementedError(f"states of {type(self).__name__} do not lie side by side")

    def map_state(self, state: State, function: Callable[[Tensor], Tensor]) -> State:
        """Return the state with every tensor replaced by what the function returns for it."""
        if isinstance(state, tuple):
            return tuple(self.map_state(one, function) for one in state)
        return function(state) if isinstance(state, Tensor) else state


class _Headed(Network):
    """Has an encoder of inputs, a policy's head, and a critic's."""

    def __init__(self, width: int, actions: int, vocabulary: int | None, observations: int | None):
        super().__init__()
        if (vocabulary is None) == (observations is None):
            raise ValueError("name a vocabulary or a width of observations, and not both")
        self.actions, self.observations = actions, observations
        self.encoder: nn.Module = (
            nn.Linear(observations, width)
            if observations is not None
            else nn.Embedding(vocabulary or 0, width)
        )
        self.policy_head, self.value_head = nn.Linear(width, actions), nn.Linear(width, 1)

    def choose(self, features: Tensor) -> Tensor:
        logits: Tensor = self.policy_head(features)
        return logits

    def value(self, features: Tensor) -> Tensor:
        values: Tensor = self.value_head(features)
        return values.squeeze(-1)


class Recurrent(_Headed):
    """A GRU. Its state is [B, H], whatever the length of the run."""

    def __init__(
        self,
        *,
        actions: int,
        vocabulary: int | None = None,
        observations: int | None = None,
        width: int = 64,
    ) -> None:
        super().__init__(width, actions, vocabulary, observations)
        self.core = nn.GRU(width, width, batch_first=True)

    def forward(self, inputs: Tensor, state: State = None) -> tuple[Tensor, State]:
        """Read; see `Network.forward`."""
        return gru.read(self.core, self.encoder(inputs), state)

    def stack(self, states: list[State]) -> State:
        """Stack; see `Network.stack`."""
        nothing = self.policy_head.weight.new_zeros(1, self.core.hidden_size)
        return torch.cat([nothing if state is None else state for state in states])


class Memoryless(_Headed):
    """A perceptron with one hidden layer: what it chooses hangs on the last input alone."""

    def __init__(
        self,
        *,
        actions: int,
        vocabulary: int | None = None,
        observations: int | None = None,
        width: int = 64,
    ) -> None:
        super().__init__(width, actions, vocabulary, observations)
        self.core = nn.Sequential(nn.Tanh(), nn.Linear(width, width), nn.Tanh())

    def forward(self, inputs: Tensor, state: State = None) -> tuple[Tensor, State]:
        """Read; see `Network.forward`."""
        return self.core(self.encoder(inputs)), None

    def stack(self, states: list[State]) -> State:
        """Stack; see `Network.stack`."""
        return None


class Actor:
    """Acts with a network, one input after another, without learning anything.

    Args:
        network: What chooses.
        seed: Of its choices.
    """

    def __init__(self, network: Network, seed: int) -> None:
        self._network = network
        self._random = torch.Generator().manual_seed(seed)
        self._state: State = None
        self._features: Tensor | None = None

    def begin(self) -> None:
        """Begin a run: forget everything."""
        self._state = self._features = None

    @torch.no_grad()
    def read(self, inputs: Any) -> None:
        """Read one or more inputs, [L] or [L, D]."""
        like = next(self._network.parameters())
        dtype = torch.int64 if self._network.observations is None else like.dtype
        read = torch.as_tensor(inputs, dtype=dtype, device=like.device).unsqueeze(0)
        features, self._state = self._network(read, self._state)
        self._features = features[0, -1]

    @torch.no_grad()
    def choose(self) -> tuple[int, float]:
        """Return an action drawn after the last input, and its log-probability.

        Raises:
            ValueError: Nothing was read yet.
        """
        if self._features is None:
            raise ValueError("an actor reads before it chooses")
        logprobs = self._network.choose(self._features).double().cpu().log_softmax(-1)
        action = int(torch.multinomial(logprobs.exp(), 1, generator=self._random))
        return action, float(logprobs[action])
