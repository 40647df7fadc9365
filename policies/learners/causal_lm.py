"""Any causal language model of `transformers` as a policy; its state is its cache.

Tested with models that keep keys and values (Llama, GPT-2, and Mistral with its sliding window). A
model whose cache is changed in place, not replaced, cannot be used so: `check` tells.
"""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from monastery.policies.learners.networks import Network, State


class CausalLM(Network):
    """Reads and writes tokens with a model of `transformers`.

    Args:
        model: A causal language model, as ``AutoModelForCausalLM`` gives it.
    """

    batches = False

    def __init__(self, model: Any) -> None:
        super().__init__()
        # Dropout would make the policy that learns another than the one that chose.
        self.model: nn.Module = model.eval()
        self.actions, self.observations = int(model.config.vocab_size), None
        self._body: Any = model.base_model
        self._head: Any = model.get_output_embeddings()

    def forward(self, inputs: Tensor, state: State = None) -> tuple[Tensor, State]:
        """Read; see `Network.forward`."""
        past = None if state is None else self.map_state(state, lambda one: one)
        out = self._body(input_ids=inputs, past_key_values=past, use_cache=True)
        return out.last_hidden_state, out.past_key_values

    def choose(self, features: Tensor) -> Tensor:
        """Return logits [..., vocabulary]."""
        logits: Tensor = self._head(features)
        return logits

    def map_state(self, state: State, function: Callable[[Tensor], Tensor]) -> State:
        """Return a cache of the same kind, with every tensor replaced."""
        if state is None:
            return None
        mapped = copy.copy(state)
        mapped.layers = [copy.copy(layer) for layer in state.layers]
        for layer in mapped.layers:
            for name, value in vars(layer).items():
                if isinstance(value, Tensor) and value.is_floating_point():
                    setattr(layer, name, function(value))
        return mapped


@torch.no_grad()
def check(policy: CausalLM) -> str | None:
    """Return why a model cannot be streamed segment by segment, None when it can.

    A run that is read in two parts must come to what it comes to at once, reading the second part
    twice from one state must find that state unchanged, and its head must be all of its head.
    """
    tokens = torch.arange(8).unsqueeze(0) % policy.actions
    whole, _ = policy(tokens)
    _, state = policy(tokens[:, :4])
    first, _ = policy(tokens[:, 4:], state)
    second, _ = policy(tokens[:, 4:], state)
    said: Tensor = policy.model(input_ids=tokens).logits
    if not torch.allclose(said, policy.choose(whole), atol=1e-3):
        return "its logits are not what its output embeddings make of its last hidden state"
    if not torch.equal(first, second):
        return "its cache is changed in place: a second reading of one state differs from the first"
    if not torch.allclose(whole[:, 4:], first, atol=1e-3):
        return "a run read in two parts differs from the same run read at once"
    return None
