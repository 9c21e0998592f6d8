"""Every dense optimizer is the one that its name says, on flat parameters."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import martlet.learn as ml
from martlet.learn.optimizers import Dense
from tests.unit.optimizers.references import Floats, reference
from trainer_svc.optimizers.dense import DenseOptimizer
from trainer_svc.optimizers.flat_parameters import FlatParameters

ALL: list[Dense] = [
    ml.SGD(0.1),
    ml.SGD(0.1, l2=0.1),
    ml.Momentum(0.05),
    ml.Momentum(0.05, momentum=0.7, nesterov=True, l2=0.01),
    ml.AdaGrad(0.1),
    ml.AdaGrad(0.1, l2=0.1),
    ml.RMSProp(0.01),
    ml.RMSProp(0.01, decay=0.9, l2=0.1),
    ml.Adam(0.01),
    ml.Adam(0.01, weight_decay=0.1),
    ml.FTRL(0.3),
    ml.FTRL(0.3, l1=0.5, l2=0.2),
]
every = pytest.mark.parametrize("settings", ALL, ids=str)


def flat(seed: int = 0) -> FlatParameters:
    torch.manual_seed(seed)
    return FlatParameters(nn.Sequential(nn.Linear(5, 3), nn.Linear(3, 1)).parameters())


def gradients(parameters: FlatParameters, count: int = 20) -> list[Floats]:
    random = np.random.default_rng(1)
    size = parameters.values.shape[0]
    return [random.normal(size=size).astype(np.float32) * (random.random(size) < 0.7) for _ in range(count)]


def take(optimizer: DenseOptimizer, parameters: FlatParameters, gradient: Floats, loss: float = 0.5) -> None:
    parameters.gradients.copy_(torch.from_numpy(4 * gradient))
    optimizer.step(0.25, loss)


@every
def test_it_does_what_its_reference_does(settings: Dense) -> None:
    parameters = flat()
    start = parameters.values.numpy().copy()
    optimizer = DenseOptimizer(settings, parameters)
    given = gradients(parameters)
    for gradient in given:
        take(optimizer, parameters, gradient)
    np.testing.assert_allclose(parameters.values.numpy(), reference(settings, start, given), rtol=2e-5, atol=1e-6)


@every
def test_a_restore_is_no_break(settings: Dense) -> None:
    settings = replace(settings, clip=ml.ClipNorm(2.0))
    if not isinstance(settings, ml.FTRL):
        settings = replace(settings, rate=ml.OnPlateau(ml.WarmUp(3, ml.Exponential(0.1, 0.9)), patience=1, window=2))
    first, second = flat(), flat(7)
    one, other = DenseOptimizer(settings, first), DenseOptimizer(settings, second)
    given = gradients(first)
    for gradient in given[:11]:
        take(one, first, gradient)
    second.values.copy_(first.values)
    other.restore({name: np.array(array) for name, array in one.state().items()})
    for gradient in given[11:]:
        take(one, first, gradient)
        take(other, second, gradient)
    assert torch.equal(first.values, second.values)
    assert {name: array.tobytes() for name, array in one.state().items()} == {
        name: array.tobytes() for name, array in other.state().items()
    }


def test_l1_pulls_by_the_sign() -> None:
    parameters = flat()
    start = parameters.values.numpy().copy()
    take(DenseOptimizer(ml.SGD(0.1, l1=0.01), parameters), parameters, np.zeros_like(start))
    np.testing.assert_allclose(parameters.values.numpy(), start - 0.001 * np.sign(start), atol=1e-7)


@pytest.mark.parametrize("limit", [0.5, 1e6])
def test_clipping_is_torchs(limit: float) -> None:
    parameters = flat()
    start, gradient = parameters.values.numpy().copy(), gradients(parameters)[0]
    for clip, clipped in ((ml.ClipNorm(limit), clipped_norm), (ml.ClipValue(limit), clipped_value)):
        parameters.values.copy_(torch.from_numpy(start))
        take(DenseOptimizer(ml.SGD(1.0, clip=clip), parameters), parameters, gradient)
        np.testing.assert_allclose(parameters.values.numpy(), start - clipped(gradient, limit), rtol=1e-5, atol=1e-6)


def clipped_norm(gradient: Floats, limit: float) -> Floats:
    holder = nn.Parameter(torch.zeros(gradient.shape))
    holder.grad = torch.tensor(gradient)
    torch.nn.utils.clip_grad_norm_([holder], limit)
    return holder.grad.numpy()


def clipped_value(gradient: Floats, limit: float) -> Floats:
    return np.clip(gradient, -limit, limit)


def test_the_rate_follows_its_schedule() -> None:
    parameters = flat()
    optimizer = DenseOptimizer(ml.SGD(ml.StepDecay(1.0, every=2, factor=0.5)), parameters)
    ones = np.ones(parameters.values.shape[0], np.float32)
    moved = []
    for _ in range(5):
        before = float(parameters.values[0])
        take(optimizer, parameters, ones)
        moved.append(before - float(parameters.values[0]))
    assert moved == pytest.approx([1, 1, 0.5, 0.5, 0.25], rel=1e-5)


def test_every_parameter_begins_where_torch_would_align_it() -> None:
    net = nn.Sequential(nn.Linear(5, 3), nn.Linear(3, 1))
    before = [parameter.detach().clone() for parameter in net.parameters()]
    parameters = FlatParameters(net.parameters())
    assert all(parameter.data_ptr() % 64 == parameters.values.data_ptr() % 64 == 0 for parameter in net.parameters())
    assert all(torch.equal(one, other) for one, other in zip(before, net.parameters(), strict=True))
