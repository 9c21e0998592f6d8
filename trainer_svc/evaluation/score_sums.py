"""Sums over tested examples in fixed memory, from which the figures follow: what a window and a fading mean both keep.

Scores are kept as histograms over logits. The area under the ROC curve from a histogram counts pairs within a bin half;
it is wrong by at most half the share of such pairs, ½ Σ_b P_b · N_b / (P · N), which `figures_of` tells beside it.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from trainer_svc.evaluation.metrics.calibration import log_losses, probabilities, reliability
from trainer_svc.evaluation.metrics.curves import Doubles, Floats, ratio, roc_auc

BINS: Final = 1024
_EDGE: Final = 16.0  # beyond, a probability differs from 0 or 1 by 1e-7
_WIDTH: Final = 2.0 * _EDGE / BINS
CALIBRATION_ERROR: Final = _WIDTH / 8.0  # half a bin, times the steepest slope of a probability, 1/4
_CENTRES: Final = probabilities((np.arange(BINS) + 0.5) * _WIDTH - _EDGE)
SUMS: Final = 6
_COUNT, _LOSS, _ABSOLUTE, _PREDICTED, _ACTUAL, _ACTUAL_SQUARED = range(SUMS)


@dataclass(frozen=True, slots=True)
class ScoreSums:
    """Weighted sums over examples; adding two and scaling one give such sums again.

    Attributes:
        sums: float64[6]: weight; loss (log-loss in nats, or squared error); |error|; predicted; label; label².
        histogram: float64[2, BINS], weight of negatives and of positives by logit; of numbers it is empty, [2, 0].
    """

    sums: Doubles
    histogram: Doubles


def sums_of(logits: Floats, labels: Floats, weights: Floats, *, numbers: bool) -> ScoreSums:
    """Sums over examples; all arguments are floating[n]. `numbers`: labels are numbers, and a logit predicts one."""
    w, y = weights.astype(np.float64), labels.astype(np.float64)
    predicted = logits.astype(np.float64) if numbers else probabilities(logits)
    losses = (predicted - y) ** 2 if numbers else log_losses(logits, labels)
    parts = (np.ones_like(y), losses, np.abs(predicted - y), predicted, y, y**2)
    sums = np.array([float(w @ part) for part in parts])
    if numbers:
        return ScoreSums(sums, np.zeros((2, 0)))
    bins = np.clip((logits.astype(np.float64) + _EDGE) / _WIDTH, 0, BINS - 1).astype(np.int64)
    kinds = (w * (1.0 - y), w * y)
    return ScoreSums(sums, np.stack([np.bincount(bins, kind, BINS) for kind in kinds]))


def figures_of(found: ScoreSums) -> dict[str, float]:
    """The figures that there are. Of yes-or-no labels `auc_error` bounds how wrong `auc` may be."""
    sums = found.sums
    weight = float(sums[_COUNT])
    if weight <= 0.0:
        return {}
    every = _of_chances(found, weight) if found.histogram.shape[1] else _of_numbers(sums, weight)
    every["bias"] = ratio(float(sums[_PREDICTED]), float(sums[_ACTUAL]))
    return {name: value for name, value in every.items() if math.isfinite(value)}


def _of_numbers(sums: Doubles, weight: float) -> dict[str, float]:
    mse = float(sums[_LOSS]) / weight
    spread = float(sums[_ACTUAL_SQUARED]) / weight - (float(sums[_ACTUAL]) / weight) ** 2
    r2 = 1.0 - mse / spread if spread > 0.0 else math.nan
    return {"mse": mse, "rmse": math.sqrt(mse), "mae": float(sums[_ABSOLUTE]) / weight, "r2": r2}


def _of_chances(found: ScoreSums, weight: float) -> dict[str, float]:
    negative, positive = found.histogram
    mass, both = negative + positive, float(negative.sum()) * float(positive.sum())
    share: npt.NDArray[np.float64] = np.divide(positive, mass, out=np.zeros_like(mass), where=mass > 0.0)
    loss, rate = float(found.sums[_LOSS]) / weight, float(positive.sum()) / weight
    entropy = -(rate * math.log(rate) + (1.0 - rate) * math.log1p(-rate)) if 0.0 < rate < 1.0 else math.nan
    return {
        "logloss": loss,
        "normalised_entropy": loss / entropy,
        "auc": roc_auc(np.arange(BINS, dtype=np.float64), share, mass),
        "auc_error": 0.5 * float(negative @ positive) / both if both > 0.0 else math.nan,
        "ece": reliability(_CENTRES, share, mass).expected_error,
    }
