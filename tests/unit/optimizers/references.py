"""What optimizers must equal: torch's, and FTRL as the paper's algorithm 1 writes it."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

import martlet.learn.optimizers as settings_of
from martlet.learn.optimizers import Dense, Rows

Floats = npt.NDArray[np.float32]


def torch_reference(settings: Dense | Rows, start: Floats, gradients: Sequence[Floats]) -> Floats:
    """Where torch's optimizer is after these gradients."""
    weights = torch.nn.Parameter(torch.tensor(start))
    optimizer = torch_optimizer(settings, weights)
    for gradient in gradients:
        weights.grad = torch.tensor(gradient)
        optimizer.step()
    return weights.detach().numpy()


def torch_optimizer(settings: Dense | Rows, weights: torch.nn.Parameter) -> torch.optim.Optimizer:
    match settings:
        case settings_of.SGD() | settings_of.RowSGD():
            return torch.optim.SGD([weights], settings.rate, weight_decay=settings.l2)
        case settings_of.Momentum() | settings_of.RowMomentum():
            return torch.optim.SGD(
                [weights],
                settings.rate,
                momentum=settings.momentum,
                nesterov=settings.nesterov,
                weight_decay=settings.l2,
            )
        case settings_of.AdaGrad() | settings_of.RowAdaGrad():
            return torch.optim.Adagrad([weights], settings.rate, eps=settings.epsilon, weight_decay=settings.l2)
        case settings_of.RMSProp() | settings_of.RowRMSProp():
            return torch.optim.RMSprop(
                [weights], settings.rate, alpha=settings.decay, eps=settings.epsilon, weight_decay=settings.l2
            )
        case settings_of.Adam():
            return torch.optim.AdamW(
                [weights],
                settings.rate,
                (settings.beta1, settings.beta2),
                settings.epsilon,
                weight_decay=settings.weight_decay,
            )
        case settings_of.LazyAdam():
            return torch.optim.Adam(
                [weights], settings.rate, (settings.beta1, settings.beta2), settings.epsilon, weight_decay=settings.l2
            )
    raise AssertionError(settings)


def ftrl_reference(
    settings: settings_of.FTRL | settings_of.RowFTRL, start: Floats, gradients: Sequence[Floats]
) -> Floats:
    """McMahan et al. 2013, algorithm 1, coordinate by coordinate in float64."""
    alpha, beta, l1, l2 = settings.rate, settings.beta, settings.l1, settings.l2
    weights = start.astype(np.float64).reshape(-1)
    z, n = -weights * (beta / alpha + l2), np.zeros_like(weights)
    for gradient in gradients:
        for i, g in enumerate(gradient.reshape(-1).astype(np.float64)):
            if g == 0:
                continue
            sigma = (np.sqrt(n[i] + g * g) - np.sqrt(n[i])) / alpha
            z[i] += g - sigma * weights[i]
            n[i] += g * g
            small = abs(z[i]) <= l1
            weights[i] = 0 if small else -(z[i] - np.sign(z[i]) * l1) / ((beta + np.sqrt(n[i])) / alpha + l2)
    return weights.reshape(start.shape).astype(np.float32)


def row_wise_reference(settings: settings_of.RowWiseAdaGrad, start: Floats, gradients: Sequence[Floats]) -> Floats:
    """AdaGrad on a row's mean square."""
    weights, square = start.astype(np.float64), np.zeros(start.shape[0])
    for gradient in gradients:
        full = gradient + settings.l2 * weights
        square += (full**2).mean(1)
        weights -= settings.rate * full / (np.sqrt(square) + settings.epsilon)[:, None]
    return weights.astype(np.float32)


def reference(settings: Dense | Rows, start: Floats, gradients: Sequence[Floats]) -> Floats:
    """The reference for these settings."""
    if isinstance(settings, settings_of.FTRL | settings_of.RowFTRL):
        return ftrl_reference(settings, start, gradients)
    if isinstance(settings, settings_of.RowWiseAdaGrad):
        return row_wise_reference(settings, start, gradients)
    return torch_reference(settings, start, gradients)
