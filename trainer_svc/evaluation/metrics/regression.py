"""Metrics of a number that is predicted."""

import math
from dataclasses import dataclass

import numpy as np

from trainer_svc.evaluation.metrics.calibration import mean
from trainer_svc.evaluation.metrics.curves import Floats, ratio


@dataclass(frozen=True, slots=True)
class RegressionErrors:
    """Errors of predictions; NaN without rows.

    Attributes:
        mse: mean squared error.
        mae: mean absolute error.
        r2: 1 - squared errors / squared distances from the mean label; NaN if all labels are alike.
        bias: Σ predicted / Σ actual, where the actual ones are above 0 on average; else NaN.
    """

    mse: float
    mae: float
    r2: float
    bias: float

    @property
    def rmse(self) -> float:
        """The root of the mean squared error, in the label's unit."""
        return math.sqrt(self.mse)


def regression_errors(predicted: Floats, labels: Floats, weights: Floats | None = None) -> RegressionErrors:
    """All of them at once."""
    actual = labels.astype(np.float64)
    error = predicted.astype(np.float64) - actual
    middle = mean(actual, weights)
    mse, spread = mean(error**2, weights), mean((actual - middle) ** 2, weights)
    r2 = 1.0 - mse / spread if spread > 0.0 else math.nan
    return RegressionErrors(mse, mean(np.abs(error), weights), r2, ratio(mean(predicted, weights), middle))
