"""Item vectors for any ranker: the few directions of what is known of items that the ranker's logits depend on. Pure.

What is known of an item (its *features* here): the rows that its ids have in the version's tables, its numbers, and the
logits that the version gives it for a few users. The last stand for whatever is not linear in the rows. A sample of
items is scored for a sample of users; a reduced-rank regression of these logits on the features (the ridge solution,
then the leading right singular vectors of what it predicts) gives the projection from features to vectors. The more
directions the users disagree about, the more users it takes: with few, the rest are principal directions of the
features.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

WIDTH: Final = 16
_RIDGE: Final = 1e-3
# How much a principal direction of the features counts beside what users disagree about: it fills up, no more.
_FILL: Final = 0.02
_TINY: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Projection:
    """From features to vectors.

    Attributes:
        mean: float32[f]; weights: float32[f, WIDTH].
    """

    mean: Floats
    weights: Floats

    def vectors(self, features: Floats) -> Floats:
        """float32[n, WIDTH] of float32[n, f]."""
        return np.asarray((features - self.mean) @ self.weights, np.float32)


def fit_projection(features: Floats, logits: Floats) -> Projection:
    """The projection whose vectors explain the logits best.

    Args:
        features: float32[m, f], of a sample of items.
        logits: float32[m, u], what the version says of them for u users.
    """
    mean, spread = _moments(features)
    scaled = (features - mean) / spread
    regression = np.linalg.solve(
        scaled.T @ scaled + _RIDGE * scaled.shape[0] * np.eye(scaled.shape[1]), scaled.T @ _standardised(logits)
    )
    fill = _FILL * np.sqrt(logits.shape[1] / scaled.shape[1]) * np.eye(scaled.shape[1])
    targets = np.concatenate([regression, fill], axis=1)
    _, _, directions = np.linalg.svd(scaled @ targets, full_matrices=False)
    weights = targets @ directions[:WIDTH].T
    weights /= (scaled @ weights).std(axis=0) + _TINY
    weights = np.pad(weights / spread[:, None], ((0, 0), (0, WIDTH - weights.shape[1])))
    return Projection(mean.astype(np.float32), weights.astype(np.float32))


def _moments(features: Floats) -> tuple[Doubles, Doubles]:
    values = features.astype(np.float64)
    spread = values.std(axis=0)
    return values.mean(axis=0), np.where(spread > _TINY, spread, 1.0)


def _standardised(logits: Floats) -> Doubles:
    values = logits.astype(np.float64)
    centred = values - values.mean(axis=0)
    return np.asarray(centred / (values.std(axis=0) + _TINY), np.float64)
