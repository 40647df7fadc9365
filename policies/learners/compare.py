"""Comparing gradients: to the bit, or but for roundings. None is a gradient of zero."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

Gradients = Sequence[Any]
"""Tensors, arrays or None, one for each parameter or output."""


def size(gradient: Any) -> float:
    """Return the largest entry of a gradient; infinite where one is no number."""
    tensor = _tensor(gradient)
    if tensor.numel() == 0:
        return 0.0
    return float(tensor.abs().nan_to_num(nan=float("inf")).max())


def same(first: Gradients, second: Gradients) -> bool:
    """Whether gradients are equal to the bit."""
    return len(first) == len(second) and all(
        torch.equal(_tensor(one), _tensor(two))
        if one is not None and two is not None
        else size(one) == size(two) == 0.0
        for one, two in zip(first, second, strict=True)
    )


def difference(first: Gradients, second: Gradients) -> float:
    """Return by how much gradients differ at most."""
    if len(first) != len(second):
        return float("inf")
    pairs = zip(first, second, strict=True)
    return max((size(_tensor(one) - _tensor(two)) for one, two in pairs), default=0.0)


def close(first: Gradients, second: Gradients, rounding: float) -> bool:
    """Whether gradients differ by no more than so much of their size; for 0, not by a bit."""
    if rounding == 0.0:
        return same(first, second)
    return difference(first, second) <= rounding * max(map(size, first), default=0.0)


def _tensor(gradient: Any) -> Tensor:
    return torch.zeros(()) if gradient is None else torch.as_tensor(gradient)
