"""Threshold metrics of a yes-or-no label: curves, the areas under them, and what one threshold does."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Curve:
    """Points of a curve, from the strictest threshold to the laxest.

    Attributes:
        x, y: float64[m].
        thresholds: float64[m]; a row counts as positive from this score on. The first may be infinite: none does.
    """

    x: Doubles
    y: Doubles
    thresholds: Doubles


@dataclass(frozen=True, slots=True)
class Thresholded:
    """What rows at or above a threshold are: weights, not counts, if there are weights."""

    threshold: float
    true_positive: float
    false_positive: float
    false_negative: float
    true_negative: float

    @property
    def accuracy(self) -> float:
        """(TP + TN) / all."""
        right = self.true_positive + self.true_negative
        return ratio(right, right + self.false_positive + self.false_negative)

    @property
    def precision(self) -> float:
        """TP / (TP + FP): of those called positive, how many are."""
        return ratio(self.true_positive, self.true_positive + self.false_positive)

    @property
    def recall(self) -> float:
        """TP / (TP + FN): of the positive ones, how many were called so."""
        return ratio(self.true_positive, self.true_positive + self.false_negative)

    @property
    def f1(self) -> float:
        """2 · TP / (2 · TP + FP + FN), the harmonic mean of precision and recall."""
        twice = 2.0 * self.true_positive
        return ratio(twice, twice + self.false_positive + self.false_negative)


@dataclass(frozen=True, slots=True)
class _Cumulated:
    """Weights of positive and negative rows at or above each distinct score, scores descending: float64[m]."""

    scores: Doubles
    positive: Doubles
    negative: Doubles


def ratio(part: float, whole: float) -> float:
    """NaN where there is no whole."""
    return part / whole if whole > 0.0 else math.nan


def at_threshold(scores: Floats, labels: Floats, threshold: float, weights: Floats | None = None) -> Thresholded:
    """Calls rows positive whose score is at least `threshold`.

    >>> at_threshold(np.array([0.2, 0.9, 0.6]), np.array([0.0, 1.0, 0.0]), 0.5).precision
    0.5
    """
    positive, negative = _split(labels, weights)
    called = scores >= threshold
    return Thresholded(
        threshold,
        float(positive[called].sum()),
        float(negative[called].sum()),
        float(positive[~called].sum()),
        float(negative[~called].sum()),
    )


def best_f1(scores: Floats, labels: Floats, weights: Floats | None = None) -> Thresholded | None:
    """The threshold among the scores with the highest F1 (of equal ones the highest); None without a positive.

    It is chosen on the rows on which it is told: an upper bound of what a threshold set beforehand would have given.
    """
    found = _cumulated(scores, labels, weights)
    if not found.scores.shape[0] or found.positive[-1] <= 0.0:
        return None
    positives, negatives = float(found.positive[-1]), float(found.negative[-1])
    f1 = 2.0 * found.positive / (found.positive + found.negative + positives)
    best = int(np.argmax(f1))
    true_positive, false_positive = float(found.positive[best]), float(found.negative[best])
    return Thresholded(
        float(found.scores[best]), true_positive, false_positive, positives - true_positive, negatives - false_positive
    )


def roc_curve(scores: Floats, labels: Floats, weights: Floats | None = None) -> Curve:
    """Share of the negatives (x) and of the positives (y) at or above each distinct score; from (0, 0) to (1, 1).

    Without both kinds, the share of the kind that is missing is NaN.
    """
    found = _cumulated(scores, labels, weights)
    return Curve(_share(found.negative), _share(found.positive), np.concatenate([[math.inf], found.scores]))


def roc_auc(scores: Floats, labels: Floats, weights: Floats | None = None) -> float:
    """The probability that a positive stands above a negative, ties counting half; NaN without both.

    The area under `roc_curve` by trapezoids, which is the Mann-Whitney statistic (Hanley and McNeil 1982).

    >>> roc_auc(np.array([0.1, 0.9, 0.4]), np.array([0.0, 1.0, 0.0]))
    1.0
    """
    curve = roc_curve(scores, labels, weights)
    return float(np.trapezoid(curve.y, curve.x)) if scores.shape[0] else math.nan


def pr_curve(scores: Floats, labels: Floats, weights: Floats | None = None) -> Curve:
    """Recall (x) and precision (y) at each distinct score, the strictest first; recall is NaN without a positive."""
    found = _cumulated(scores, labels, weights)
    above = found.positive + found.negative
    precision = np.divide(found.positive, above, out=np.full_like(above, math.nan), where=above > 0.0)
    return Curve(_share(found.positive)[1:], precision, found.scores)


def average_precision(scores: Floats, labels: Floats, weights: Floats | None = None) -> float:
    """The area under the precision-recall curve as a sum of steps: Σ (R_i - R_(i-1)) · P_i; NaN without a positive.

    Precision is not interpolated between points, which would flatter (Davis and Goadrich 2006).
    """
    curve = pr_curve(scores, labels, weights)
    if not curve.x.shape[0] or math.isnan(curve.x[-1]):
        return math.nan
    gained = np.diff(curve.x, prepend=0.0)
    return float(np.sum(gained * np.where(gained > 0.0, curve.y, 0.0)))


def _split(labels: Floats, weights: Floats | None) -> tuple[Doubles, Doubles]:
    """The weights of rows as positives and as negatives."""
    labels = labels.astype(np.float64)
    own = np.ones_like(labels) if weights is None else weights.astype(np.float64)
    return own * labels, own * (1.0 - labels)


def _cumulated(scores: Floats, labels: Floats, weights: Floats | None) -> _Cumulated:
    order = np.argsort(-scores, kind="stable")  # nearly free on rows that stand so already, as in a bootstrap
    positive, negative = _split(labels, weights)
    ordered = scores[order].astype(np.float64)
    last = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True)) if ordered.shape[0] else np.zeros(0, np.int64)
    return _Cumulated(ordered[last], np.cumsum(positive[order])[last], np.cumsum(negative[order])[last])


def _share(cumulated: Doubles) -> Doubles:
    """From 0, as a share of the last; NaN if that is 0."""
    whole = float(cumulated[-1]) if cumulated.shape[0] else 0.0
    points = np.concatenate([[0.0], cumulated])
    return points / whole if whole > 0.0 else np.full_like(points, math.nan)
