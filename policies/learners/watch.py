"""Watching gradients: what reaches a network's outputs, and what crosses a boundary.

A learner or trainer passes each tensor through the watch and goes on with what it gets back: the
same numbers, as a node of their own, at which every gradient is seen that flows through.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

Key = tuple[int, int]
"""The number of a moment in its run, from 0; and which tensor of it this is, as they were told."""


@dataclass(slots=True)
class Watch:
    """Sees gradients.

    Attributes:
        outputs: For each output that was told, the gradient that reached it; None where none did.
        states: The same for each tensor that crossed a boundary: key (k, …) left moment k.
        cut: How many of those were cut from their graph before they were told.
    """

    outputs: dict[Key, Tensor | None] = field(default_factory=dict)
    states: dict[Key, Tensor | None] = field(default_factory=dict)
    cut: int = 0

    def output(self, moment: int, tensor: Tensor) -> Tensor:
        """Tell what a head said in a moment: logits, values. Go on with what is returned."""
        return _node(self.outputs, moment, tensor)

    def boundary(self, moment: int, tensor: Tensor) -> Tensor:
        """Tell a tensor of what is remembered after a moment. Go on with what is returned.

        A recurrent state, or keys and values; before it is detached, if it is.
        """
        self.cut += not tensor.requires_grad
        return _node(self.states, moment, tensor)

    def sequence(self, tensor: Tensor, lengths: list[int]) -> Tensor:
        """Tell the outputs [L, …] of a whole run that was read at once.

        Args:
            tensor: The outputs; position t belongs to the moment whose input t was.
            lengths: How many inputs each moment has; they add up to L.
        """
        parts = [self.output(moment, part) for moment, part in enumerate(tensor.split(lengths))]
        return torch.cat(parts)


def _node(seen: dict[Key, Tensor | None], moment: int, tensor: Tensor) -> Tensor:
    key = (moment, sum(one == moment for one, _ in seen))
    seen[key] = None
    if not tensor.requires_grad:
        return tensor
    node = tensor.view_as(tensor)

    def take(gradient: Tensor) -> None:
        before = seen[key]
        seen[key] = gradient.detach().clone() if before is None else before + gradient

    node.register_hook(take)
    return node
