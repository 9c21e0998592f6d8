"""Bootstrap intervals over users: the events of one user are not independent, users nearly are."""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Int64s = npt.NDArray[np.int64]
RESAMPLES: Final = 500


class Interval(NamedTuple):
    """The 2.5 % and 97.5 % points of the resampled values."""

    low: float
    high: float


def of_mean(users: Int64s, values: npt.NDArray[np.floating], resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """Of the mean of one value for each event, users drawn with replacement."""
    _, owner = np.unique(users, return_inverse=True)
    sums, sizes = np.bincount(owner, values), np.bincount(owner)
    drawn = _drawn(sizes.shape[0], resamples, seed)
    return _interval((drawn @ sums) / (drawn @ sizes))


def of_auc_gain(
    users: Int64s,
    labels: npt.NDArray[np.floating],
    scores: npt.NDArray[np.floating],
    baseline: npt.NDArray[np.floating],
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Of the area under the ROC curve of `scores` less that of `baseline`, on the same events."""
    _, owner = np.unique(users, return_inverse=True)
    ours, theirs = WeightedAuc(labels, scores), WeightedAuc(labels, baseline)
    drawn = _drawn(int(owner.max()) + 1, resamples, seed)
    return _interval(np.array([ours.of(weights[owner]) - theirs.of(weights[owner]) for weights in drawn]))


class WeightedAuc:
    """The area under the ROC curve for many weightings of the same scores: sorted once. Ties count one half."""

    def __init__(self, labels: npt.NDArray[np.floating], scores: npt.NDArray[np.floating]) -> None:
        self._order = np.argsort(scores, kind="stable")
        ordered = np.asarray(scores)[self._order]
        self._level = np.concatenate([[0], np.cumsum(ordered[1:] != ordered[:-1])])
        self._positive = np.asarray(labels)[self._order] > 0.5  # noqa: PLR2004

    def of(self, weights: npt.NDArray[np.floating]) -> float:
        """The area where an event counts as often as its weight says; 0.5 if a class is missing."""
        ordered = weights[self._order].astype(np.float64)
        positive = np.bincount(self._level, np.where(self._positive, ordered, 0.0))
        negative = np.bincount(self._level, np.where(self._positive, 0.0, ordered))
        pairs = positive.sum() * negative.sum()
        below = np.cumsum(negative) - negative / 2
        return float((positive * below).sum() / pairs) if pairs else 0.5


def auc(labels: npt.NDArray[np.floating], scores: npt.NDArray[np.floating]) -> float:
    """The area under the ROC curve."""
    return WeightedAuc(labels, scores).of(np.ones(np.shape(labels)))


def _drawn(users: int, resamples: int, seed: int) -> Floats:
    """How often each user is drawn in each resample: float64[resamples, users]."""
    random = np.random.default_rng(seed)
    return random.multinomial(users, np.full(users, 1.0 / users), resamples).astype(np.float64)


def _interval(values: Floats) -> Interval:
    low, high = np.percentile(values, [2.5, 97.5])
    return Interval(float(low), float(high))
