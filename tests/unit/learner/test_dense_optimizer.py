"""Adam on flat parameters is Adam."""

import numpy as np
import pytest
import torch
from torch import nn

import martlet.learn as ml
from trainer_svc.optimizers import DenseAdam, FlatParameters


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_it_does_what_torch_does(decay: float) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(5, 3), nn.ReLU(), nn.Linear(3, 1))
    twin = nn.Sequential(nn.Linear(5, 3), nn.ReLU(), nn.Linear(3, 1))
    twin.load_state_dict(net.state_dict())
    flat = FlatParameters(net.parameters())
    ours = DenseAdam(ml.Adam(0.01, weight_decay=decay), flat)
    theirs = torch.optim.AdamW(twin.parameters(), lr=0.01, weight_decay=decay)
    for _ in range(20):
        values = torch.randn(8, 5)
        flat.gradients.zero_()
        net(values).square().sum().backward()
        ours.step(1 / 8)
        theirs.zero_grad()
        twin(values).square().mean().backward()
        theirs.step()
    for one, other in zip(net.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_every_parameter_begins_where_torch_would_align_it() -> None:
    net = nn.Sequential(nn.Linear(5, 3), nn.Linear(3, 1))
    before = [parameter.detach().clone() for parameter in net.parameters()]
    flat = FlatParameters(net.parameters())
    assert all(parameter.data_ptr() % 64 == flat.values.data_ptr() % 64 == 0 for parameter in net.parameters())
    assert all(torch.equal(one, other) for one, other in zip(before, net.parameters(), strict=True))


def test_moments_come_back() -> None:
    flat = FlatParameters(nn.Linear(2, 1).parameters())
    first, second = DenseAdam(ml.Adam(), flat), DenseAdam(ml.Adam(), flat)
    flat.gradients.fill_(1.0)
    first.step(0.5)
    second.restore(first.state())
    assert all(np.array_equal(first.state()[name], second.state()[name]) for name in ("mean", "square", "steps"))
    assert int(second.state()["steps"]) == 1
