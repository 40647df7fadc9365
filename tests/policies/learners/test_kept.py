"""What a transformer has read lies in one place, and is never written over."""

from itertools import pairwise

import torch
from torch import Tensor

from monastery.policies.learners.kept import Room, extend
from monastery.policies.learners.transformer import Transformer

_SHAPE = (1, 2, 3, 4)  # [B, heads, L, D]


def _new() -> Tensor:
    return torch.randn(_SHAPE, requires_grad=True)


def _many(count: int) -> tuple[list[Tensor], list[Tensor], Tensor]:
    """Return so many new ones, what was kept after each, and the sum of what each is worth."""
    torch.manual_seed(0)
    news, all_kept, worth = [_new() for _ in range(count)], list[Tensor](), torch.zeros(())
    kept, room = torch.randn(_SHAPE), None
    for new in news:
        told, room = extend(kept, new, room)
        worth = worth + told.square().sum()
        kept = told.detach()
        all_kept.append(kept)
    return news, all_kept, worth


def test_what_is_new_alone_has_a_gradient_and_all_of_it() -> None:
    """Graphs of earlier segments are there still when later ones have been written."""
    news, _, worth = _many(9)
    worth.backward()  # type: ignore[no-untyped-call]
    for new in news:
        assert new.grad is not None
        torch.testing.assert_close(new.grad, 2 * new.detach(), rtol=0, atol=0)


def test_the_past_is_not_copied_with_each_segment() -> None:
    """Room doubles: nine segments lie in two rooms, one after the other."""
    _, all_kept, _ = _many(9)
    for before, after in pairwise(all_kept):
        assert torch.equal(after[:, :, : before.shape[2]], before)
    assert len({kept.data_ptr() for kept in all_kept}) == 2


def test_a_second_reading_of_a_state_leaves_the_first_as_it_was() -> None:
    """Alternatives begin in one state; the one that went on is not written over by the others."""
    start, room = extend(torch.randn(_SHAPE), _new(), None)
    start = start.detach()
    before = start.clone()
    first, _ = extend(start, _new(), room)
    was = first.detach().clone()
    second, _ = extend(start, _new(), room)
    assert torch.equal(first, was)
    assert torch.equal(start, before)
    assert not torch.equal(second, first)


def test_what_was_replaced_lies_in_its_room_no_longer() -> None:
    """Other numbers of the same shape are what is read, and not what the room holds."""
    start, room = extend(torch.randn(_SHAPE), _new(), None)
    other = -start.detach()
    told, _ = extend(other, _new(), room)
    assert torch.equal(told[:, :, : other.shape[2]], other)


def test_only_the_last_of_what_lies_in_a_room_is_gone_on_from() -> None:
    """A window's last places are the room's last; others, or too many new ones, are not written."""
    kept = torch.randn(_SHAPE)
    room = Room(kept, 5)
    lies = room.write(3, kept[:, :, :1])
    assert room.follows(lies, 1)
    assert room.follows(lies[:, :, -2:], 1)
    assert not room.follows(lies[:, :, :2], 1)
    assert not room.follows(lies.clone(), 1)
    assert not room.follows(lies, 2)


def test_a_run_that_went_on_is_not_written_over_by_an_alternative() -> None:
    """A whole transformer: what is read after both is what the whole run at once comes to."""
    torch.manual_seed(0)
    network = Transformer(vocabulary=7, width=8, heads=2)
    with torch.no_grad():
        whole, _ = network(torch.tensor([[1, 2, 3, 4, 5, 6]]))
        _, state = network(torch.tensor([[1, 2]]))
        _, state = network(torch.tensor([[3]]), state)
        _, live = network(torch.tensor([[4]]), state)
        network(torch.tensor([[0]]), state)
        read, _ = network(torch.tensor([[5, 6]]), live)
    torch.testing.assert_close(read, whole[:, 4:])
