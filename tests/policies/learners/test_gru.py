"""The GRU's own backward pass gives the gradients of torch's."""

import pytest
import torch
from torch import Tensor, nn

from monastery.policies.learners import gru


@pytest.mark.parametrize(("batch", "length"), [(1, 1), (1, 7), (3, 5)])
@pytest.mark.parametrize("begins", [True, False], ids=["from nothing", "from a state"])
def test_its_gradients_are_those_of_torch(batch: int, length: int, begins: bool) -> None:
    """Of inputs, of the state before and of every weight: what torch computes step by step."""
    torch.manual_seed(0)
    core = nn.GRU(6, 8, batch_first=True).double()
    inputs = torch.randn(batch, length, 6, dtype=torch.double, requires_grad=True)
    before = torch.randn(batch, 8, dtype=torch.double, requires_grad=True)
    asked = [inputs, *core.parameters(), *([] if begins else [before])]
    worth, last_worth = torch.randn(batch, length, 8).double(), torch.randn(batch, 8).double()

    def gradients(features: Tensor, last: Tensor) -> tuple[Tensor, ...]:
        return torch.autograd.grad((features * worth).sum() + (last * last_worth).sum(), asked)

    features, last = core(inputs, None if begins else before.unsqueeze(0))
    expected = gradients(features, last[0])
    found = gradients(*gru.read(core, inputs, None if begins else before))
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_where_no_gradient_comes_in_none_goes_out() -> None:
    """An input after the last that is rewarded has a gradient of exactly 0."""
    torch.manual_seed(0)
    core = nn.GRU(6, 8, batch_first=True)
    inputs = torch.randn(1, 9, 6, requires_grad=True)
    features, _ = gru.read(core, inputs, None)
    features[:, :4].square().sum().backward()
    assert inputs.grad is not None
    assert inputs.grad[:, 4:].eq(0).all()
    assert inputs.grad[:, :4].ne(0).all()
