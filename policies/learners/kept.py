"""What a transformer has read, added to where it lies and not copied with each segment.

Concatenating what was kept with what is new copies all of the past at every boundary, and a graph
holds both copies. Here room is left behind what is kept, and a segment's keys or values are written
there once. What was written is never written again: who goes on from the same state a second time
(another alternative) gets room of its own.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class Room:
    """Memory for the keys, or the values, of one layer.

    Args:
        kept: [B, heads, S, D]: what it begins with, copied.
        places: How many there are to be room for, S or more.
    """

    def __init__(self, kept: Tensor, places: int) -> None:
        batch, heads, self._used, size = kept.shape
        self._memory = kept.new_empty(batch, heads, places, size)
        self._memory[:, :, : self._used] = kept

    def follows(self, kept: Tensor, length: int) -> bool:
        """Whether so many can be written behind what is kept: it is the last of what lies here."""
        begin = self._used - kept.shape[2]
        if begin < 0 or self._used + length > self._memory.shape[2]:
            return False
        return kept.data_ptr() == self._memory[:, :, begin:].data_ptr()

    def write(self, length: int, new: Tensor) -> Tensor:
        """Write behind what is there.

        Args:
            length: S, of what is kept.
            new: [B, heads, L, D].

        Returns:
            [B, heads, S + L, D], all of it, as no copy.
        """
        begin, self._used = self._used, self._used + new.shape[2]
        # As `data`, which has a version of its own: a graph that holds an earlier part would
        # take what is written behind that part for a change of it.
        memory = self._memory.data
        memory[:, :, begin : self._used] = new
        return memory[:, :, begin - length : self._used]


def extend(kept: Tensor, new: Tensor, room: Room | None) -> tuple[Tensor, Room | None]:
    """Return what is kept with what is new behind it, and the room that it lies in, if any.

    Args:
        kept: [B, heads, S, D], keys or values; it is not changed.
        new: [B, heads, L, D].
        room: Where `kept` lies. Room is made when there is none, or not enough.
    """
    if kept.requires_grad:  # attached: a gradient goes into both, and so the graph holds both
        return torch.cat([kept, new], dim=2), None
    if room is None or not room.follows(kept, new.shape[2]):
        room = Room(kept, 2 * (kept.shape[2] + new.shape[2]))
    written: Tensor = _Write.apply(new, kept.shape[2], room)
    return written, room


class _Write(torch.autograd.Function):
    """The gradient of what is new is its part of the gradient of all; what was kept has none."""

    @staticmethod
    def forward(ctx: Any, new: Tensor, length: int, room: Room) -> Tensor:
        ctx.length = new.shape[2]
        return room.write(length, new)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return gradient[:, :, -ctx.length :], None, None
