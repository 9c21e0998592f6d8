"""The losses of a linear model, compiled: each with its derivative, in one pass over the logits."""

from collections.abc import Callable
from functools import partial
from math import inf

import numpy as np
import numpy.typing as npt

from martlet.learn.losses import BinaryCrossEntropy, HuberLoss, Loss, SquaredError
from trainer_svc.table.compiling import kernel

Floats = npt.NDArray[np.float32]
SummedLoss = Callable[[Floats, Floats, Floats, Floats], float]


def summed_loss(loss: Loss) -> SummedLoss | None:
    """`total(logits, labels, weights, slopes)` of a loss, or None for one that has no compiled form here.

    It gives the weighted sum, and `slopes` receives its derivative by each logit; all are float32[n].
    """
    match loss:
        case BinaryCrossEntropy():
            return cross_entropy
        case SquaredError():
            return partial(_squared_error, inf)
        case HuberLoss(delta):
            return partial(_squared_error, delta)
    return None


@kernel
def cross_entropy(logits: Floats, labels: Floats, weights: Floats, slopes: Floats) -> float:
    """The summed loss in nats; `slopes` receives its derivative by each logit."""
    total = 0.0
    for i in range(logits.shape[0]):
        z, label, weight = float(logits[i]), float(labels[i]), float(weights[i])
        small = np.exp(-abs(z))
        total += weight * (max(z, 0.0) - z * label + np.log1p(small))
        probability = (1.0 if z >= 0 else small) / (1.0 + small)
        slopes[i] = weight * (probability - label)
    return total


def _squared_error(delta: float, logits: Floats, labels: Floats, weights: Floats, slopes: Floats) -> float:
    return squared_error(logits, labels, weights, slopes, delta)


@kernel
def squared_error(logits: Floats, labels: Floats, weights: Floats, slopes: Floats, delta: float) -> float:
    """Squared error up to a distance of `delta`, its tangent beyond: Huber's loss; see `cross_entropy`."""
    total = 0.0
    for i in range(logits.shape[0]):
        error, weight = float(logits[i]) - float(labels[i]), float(weights[i])
        near = min(max(error, -delta), delta)
        total += weight * near * (2.0 * error - near)
        slopes[i] = 2.0 * weight * near
    return total
