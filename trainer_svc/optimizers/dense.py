"""The optimizer of the dense weights: the rules of the rows, on all weights as one row."""

from collections.abc import Mapping
from typing import Final, assert_never

import numpy as np
import numpy.typing as npt

from martlet.learn.optimizers import (
    FTRL,
    SGD,
    AdaGrad,
    Adam,
    Dense,
    LazyAdam,
    Momentum,
    RMSProp,
    RowAdaGrad,
    RowFTRL,
    RowMomentum,
    RowRMSProp,
    Rows,
    RowSGD,
)
from trainer_svc.optimizers.flat_parameters import FlatParameters
from trainer_svc.optimizers.learning_rate import LearningRate
from trainer_svc.table.updates import RowUpdate

_ONE_ROW: Final = np.zeros(1, np.int64)


class DenseOptimizer:
    """Steps flat parameters on their gradients, in one compiled pass. The same calls give the same bits."""

    def __init__(self, settings: Dense, parameters: FlatParameters) -> None:
        self._rule = as_rows(settings)
        self._weight_decay = settings.weight_decay if isinstance(settings, Adam) else 0.0
        self._weights = parameters.values.numpy().reshape(1, -1)
        self._gradients = parameters.gradients.numpy().reshape(1, -1)
        self._slots = np.zeros((1, self._rule.columns(self._weights.shape[1])), np.float32)
        self._rate = LearningRate(settings.rate)

    def step(self, scale: float, loss: float, boost: float = 1.0) -> None:
        """One step on the gradients times `scale`, which it uses up.

        `loss`: the batch's mean loss before it. `boost`: a factor on the learning rate.
        """
        rate = self._rate.current * boost
        self._gradients *= np.float32(scale)
        if self._weight_decay:
            self._weights *= np.float32(1 - rate * self._weight_decay)
        RowUpdate(self._rule, rate).move(self._weights, self._slots, _ONE_ROW, self._gradients)
        self._rate.advance(loss)

    def state(self) -> dict[str, npt.NDArray[np.generic]]:
        """What the rule keeps (not a copy), step and rate."""
        return {"slots": self._slots, **self._rate.state()}

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Takes a state over, bit for bit (copies)."""
        np.copyto(self._slots, state["slots"])
        self._rate.restore(state)


def as_rows(settings: Dense) -> Rows:
    """The rule of the rows with the same formula. Of one row that is always used nothing is lazy."""
    rate, l1, l2, clip = settings.rate, settings.l1, settings.l2, settings.clip
    match settings:
        case SGD():
            return RowSGD(rate, l1, l2, clip)
        case Momentum():
            return RowMomentum(rate, settings.momentum, settings.nesterov, l1, l2, clip)
        case AdaGrad():
            return RowAdaGrad(rate, settings.epsilon, l1, l2, clip)
        case RMSProp():
            return RowRMSProp(rate, settings.decay, settings.epsilon, l1, l2, clip)
        case Adam():
            return LazyAdam(rate, settings.beta1, settings.beta2, settings.epsilon, l1, l2, clip)
        case FTRL():
            return RowFTRL(settings.rate, settings.beta, l1, l2, clip)
        case _:
            assert_never(settings)
