"""Probability metrics of a yes-or-no label: loss, entropy, calibration and bias."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from trainer_svc.evaluation.metrics.curves import Doubles, Floats, ratio

BINS: Final = 15


@dataclass(frozen=True, slots=True)
class Reliability:
    """A reliability curve: one point for each bin that holds rows, float64[m].

    Attributes:
        predicted: mean probability.
        actual: share of positives.
        mass: share of all weight.
    """

    predicted: Doubles
    actual: Doubles
    mass: Doubles

    @property
    def expected_error(self) -> float:
        """Σ mass · |predicted - actual|: the expected calibration error (Naeini et al. 2015)."""
        if not self.mass.shape[0]:
            return math.nan
        return float(np.sum(self.mass * np.abs(self.predicted - self.actual)))


def probabilities(logits: Floats) -> Doubles:
    """1 / (1 + exp(-z)), without overflow: float64[n]."""
    z = logits.astype(np.float64)
    small = np.exp(-np.abs(z))
    return np.asarray(np.where(z >= 0.0, 1.0, small) / (1.0 + small), np.float64)


def log_losses(logits: Floats, labels: Floats) -> Doubles:
    """log(1 + exp(z)) - y · z in nats, float64[n]; finite for any finite logit."""
    z = logits.astype(np.float64)
    return np.asarray(np.logaddexp(0.0, z) - labels * z, np.float64)


def mean(values: Floats, weights: Floats | None = None) -> float:
    """The weighted mean; NaN without weight."""
    if weights is None:
        return ratio(float(values.sum(dtype=np.float64)), float(values.shape[0]))
    own = weights.astype(np.float64)
    return ratio(float((own * values).sum()), float(own.sum()))  # a dot product would wake threads for each of many


def log_loss(logits: Floats, labels: Floats, weights: Floats | None = None) -> float:
    """The mean of `log_losses`."""
    return mean(log_losses(logits, labels), weights)


def normalised_entropy(logits: Floats, labels: Floats, weights: Floats | None = None) -> float:
    """The log-loss over that of always saying the share of positives; below 1 is better than that (He et al. 2014).

    NaN if all labels are alike: then there is nothing to say.
    """
    rate = mean(labels, weights)
    if math.isnan(rate) or not 0.0 < rate < 1.0:
        return math.nan
    entropy = -(rate * math.log(rate) + (1.0 - rate) * math.log1p(-rate))
    return log_loss(logits, labels, weights) / entropy


def bias(chances: Floats, labels: Floats, weights: Floats | None = None) -> float:
    """Σ predicted / Σ actual; 1 is right, above 1 promises too much. NaN without a positive."""
    return ratio(mean(chances, weights), mean(labels, weights))


def reliability(chances: Floats, labels: Floats, weights: Floats | None = None, bins: int = BINS) -> Reliability:
    """The reliability curve over bins of equal mass.

    Equal probabilities share a bin, that of the middle of their mass: the curve does not depend on the order of rows.
    Bins of equal width would leave most of a rare label's rows in one bin.
    """
    values, inverse = np.unique(chances.astype(np.float64), return_inverse=True)
    own = np.ones(labels.shape[0]) if weights is None else weights.astype(np.float64)
    mass = np.bincount(inverse, own, values.shape[0])
    whole = float(mass.sum())
    if whole <= 0.0:
        return Reliability(*(np.zeros(0) for _ in range(3)))
    middle = (np.cumsum(mass) - mass / 2.0) / whole
    bin_of_value = np.minimum((middle * bins).astype(np.int64), bins - 1)
    bin_of_row: npt.NDArray[np.int64] = bin_of_value[inverse]
    weight, predicted, actual = (
        np.bincount(bin_of_row, own * part, bins) for part in (np.ones_like(own), chances, labels)
    )
    held = weight > 0.0
    return Reliability(predicted[held] / weight[held], actual[held] / weight[held], weight[held] / whole)


def expected_calibration_error(
    chances: Floats, labels: Floats, weights: Floats | None = None, bins: int = BINS
) -> float:
    """The expected calibration error over bins of equal mass (see `reliability`)."""
    return reliability(chances, labels, weights, bins).expected_error
