"""A small causal transformer whose state is the keys and values of what it has read.

Keys and values that come from a state are read like any others; whether a gradient goes into them
is the state's affair. A learner that cuts its state at the boundary gets a transformer for which
the past is fixed context, and one that does not gets the usual one.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from monastery.policies.learners.kept import Room, extend
from monastery.policies.learners.networks import Network, State

_Rooms = tuple[Room | None, Room | None]
"""Of the keys and of the values of a layer."""

_NO_ROOMS: _Rooms = (None, None)


class Transformer(Network):
    """Reads numbers (tokens).

    Its state is how many tokens it has read, [B], for each layer the keys and values
    [B, heads, S, H/heads] of the last S of them, and the rooms that these lie in.

    Args:
        vocabulary: How many tokens there are, to read and to choose from.
        width: H, even.
        layers: How many.
        heads: They divide the width.
        window: How many tokens of the past are kept, None for all: with it the memory of a run does
            not grow with its length.
    """

    batches = False

    def __init__(
        self,
        *,
        vocabulary: int,
        width: int = 64,
        layers: int = 2,
        heads: int = 4,
        window: int | None = None,
    ) -> None:
        super().__init__()
        if width % 2 or width % heads:
            raise ValueError(f"a width of {width} is not even, or not a multiple of {heads} heads")
        self.actions, self.observations, self.window = vocabulary, None, window
        self.encoder = nn.Embedding(vocabulary, width)
        self.blocks = nn.ModuleList(_Block(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.policy_head, self.value_head = nn.Linear(width, vocabulary), nn.Linear(width, 1)

    def forward(self, inputs: Tensor, state: State = None) -> tuple[Tensor, State]:
        """Read; see `Network.forward`."""
        batch, length = inputs.shape
        past: tuple[State, ...] = (None,) * len(self.blocks)
        rooms: tuple[_Rooms, ...] = (_NO_ROOMS,) * len(self.blocks)
        read = inputs.new_zeros(batch)
        if state is not None:
            read, past, rooms = state
        embedded: Tensor = self.encoder(inputs)
        x, kept = embedded + _places(read, length, embedded), list[State]()  # [B, L, H]
        mask = _mask(length, 0 if past[0] is None else past[0][0].shape[2], inputs)
        left: list[_Rooms] = []
        for block, before, room in zip(self.blocks, past, rooms, strict=True):
            x, after, room = block(x, before, room, mask)
            kept.append(after if self.window is None else _last(after, self.window))
            left.append(room)
        return self.norm(x), (read + length, tuple(kept), tuple(left))

    def choose(self, features: Tensor) -> Tensor:
        """Return logits [..., vocabulary]."""
        logits: Tensor = self.policy_head(features)
        return logits

    def value(self, features: Tensor) -> Tensor:
        """Return a critic's values [...]."""
        values: Tensor = self.value_head(features)
        return values.squeeze(-1)


class _Block(nn.Module):
    """Attention over the past and the segment, then a perceptron."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before_attention, self.before_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mix, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(
        self, x: Tensor, past: State, rooms: _Rooms, mask: Tensor | None
    ) -> tuple[Tensor, State, _Rooms]:
        batch, length, width = x.shape
        mixed = self.mix(self.before_attention(x)).view(batch, length, 3, self.heads, -1)
        query, keys, values = mixed.permute(2, 0, 3, 1, 4)  # each [B, heads, L, H/heads]
        if past is not None:
            keys, keys_room = extend(past[0], keys, rooms[0])
            values, values_room = extend(past[1], values, rooms[1])
            rooms = (keys_room, values_room)
        found = scaled_dot_product_attention(
            query, keys, values, attn_mask=mask, is_causal=past is None and length > 1
        )
        x = x + self.out(found.transpose(1, 2).reshape(batch, length, width))
        return x + self.mlp(self.before_mlp(x)), (keys, values), rooms


def _places(read: Tensor, length: int, like: Tensor) -> Tensor:
    """Return waves that tell how far into the run each input is (Vaswani et al. 2017), [B, L, H].

    They need no table, so that a run may be of any length.
    """
    half = like.shape[-1] // 2
    place = (read.unsqueeze(-1) + torch.arange(length, device=read.device)).unsqueeze(-1)
    pace = torch.exp(torch.arange(half, device=read.device) * (-math.log(10_000.0) / half))
    angle = place.double() * pace
    return torch.cat([angle.sin(), angle.cos()], dim=-1).to(like.dtype)


def _mask(length: int, past: int, like: Tensor) -> Tensor | None:
    """Return what may be attended to, [L, S]; None where that is all, or is told otherwise."""
    if past == 0 or length == 1:
        return None
    return torch.ones(length, past + length, dtype=torch.bool, device=like.device).tril(past)


def _last(state: State, window: int) -> State:
    keys, values = state
    return keys[:, :, -window:], values[:, :, -window:]
