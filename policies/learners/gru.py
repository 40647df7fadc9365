"""A GRU on a processor whose backward pass takes a fifth of the time of torch's own.

torch's goes through a segment with a dozen small operations for each input, one of which adds a
whole matrix to the gradient of the weights. Here only what hangs on the next input's gradient goes
step by step, three operations; gates are computed anew, and weights get their gradients, from all
inputs at once. Same numbers up to rounding, and exactly 0 where no gradient comes in.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import linear


def read(core: nn.GRU, inputs: Tensor, before: Tensor | None) -> tuple[Tensor, Tensor]:
    """Read with a GRU of one layer.

    Args:
        core: One layer, one direction, batch first, with biases.
        inputs: [B, L, D].
        before: [B, H]; None: zeros.

    Returns:
        features [B, L, H] after each input, and the last of them, [B, H].
    """
    if not torch.is_grad_enabled() or inputs.device.type != "cpu":  # cuDNN's backward is quick
        features, last = core(inputs, None if before is None else before.unsqueeze(0))
        return features, last.squeeze(0)
    if before is None:
        before = inputs.new_zeros(len(inputs), core.hidden_size)
    found: tuple[Tensor, Tensor] = _Read.apply(core, inputs, before, *core.parameters())
    return found


class _Read(torch.autograd.Function):
    """Reset r, update z and new n of Cho et al. 2014: h = (1 - z) n + z h_before."""

    @staticmethod
    def forward(ctx: Any, core: nn.GRU, inputs: Tensor, before: Tensor, *weights: Tensor) -> Any:
        features, last = core(inputs, before.unsqueeze(0))
        ctx.save_for_backward(inputs, before, features, *weights)
        return features, last.squeeze(0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, features_grad: Tensor, last_grad: Tensor) -> Any:
        inputs, before, features, from_input, from_past, input_bias, past_bias = ctx.saved_tensors
        past = torch.cat([before.unsqueeze(1), features[:, :-1]], dim=1)  # [B, L, H]
        told = linear(inputs, from_input, input_bias)  # [B, L, 3H]
        heard = linear(past, from_past, past_bias)  # [B, L, 3H]
        width = before.shape[-1]
        reset, update = (told + heard)[..., : 2 * width].sigmoid().chunk(2, dim=-1)
        new = (told[..., 2 * width :] + reset * heard[..., 2 * width :]).tanh()

        # Derivatives of h by what goes into n, and by what the past says to r, z and n.
        by_new = (1 - update) * (1 - new * new)  # [B, L, H]
        by_reset = by_new * heard[..., 2 * width :] * reset * (1 - reset)
        by_update = (past - new) * update * (1 - update)
        by_past = torch.cat([by_reset, by_update, by_new * reset], dim=-1)  # [B, L, 3H]

        # The gradient at each h: what reaches it directly, and through the h after it.
        gradient = features_grad.transpose(0, 1).clone(memory_format=torch.contiguous_format)
        gradient[-1] += last_grad
        steps = by_past.unflatten(-1, (3, width)).transpose(0, 1)  # [L, B, 3, H]
        scaled = torch.empty_like(steps[0], memory_format=torch.contiguous_format)
        flat, carried = scaled.flatten(1), before.new_zeros(before.shape)
        walk = zip(gradient.unbind(0), steps.unbind(0), update.unbind(1), strict=True)
        for here, by_gates, kept in reversed(list(walk)):
            here.add_(carried)
            torch.mul(by_gates, here.unsqueeze(1), out=scaled)
            carried = torch.addmm(here * kept, flat, from_past)

        gradient = gradient.transpose(0, 1)  # [B, L, H]
        past_grad = by_past * gradient.repeat(1, 1, 3)  # [B, L, 3H]
        told_grad = past_grad.clone()
        told_grad[..., 2 * width :] = by_new * gradient
        return (
            None,
            told_grad @ from_input if ctx.needs_input_grad[1] else None,
            carried,
            told_grad.flatten(0, 1).T @ inputs.flatten(0, 1),
            past_grad.flatten(0, 1).T @ past.flatten(0, 1),
            told_grad.sum((0, 1)),
            past_grad.sum((0, 1)),
        )
