"""What an example counts for the way it came into the stream: importance weights.

The gradient of the weighted loss is, in expectation, that of the loss on final labels. p = σ(f) is the learner's own
probability before the step, taken as a constant. An impression is positive in the end with probability p.

* FNW (Ktena et al. 2019, arXiv 1907.06558, eq. 10 and 11): each impression enters as a negative, and a positive one
  again as a positive. Of the insertions b = p / (1 + p) are positive; the ratio of the true to the inserted
  distribution is p / b = 1 + p for positives and (1 - p) / (1 - b) = (1 - p)(1 + p) for negatives.
* FNC (same paper): the likelihood of b itself, -y log b - (1 - y) log(1 - b) = -y log p + log(1 + p). Its derivative
  by f is (1 - p)(p / (1 + p) - y): that of the cross-entropy of p times 1 / (1 + p) for positives and (1 - p) / (1 + p)
  for negatives. So p is what is fitted, and no calibration b / (1 - b) is left for serving.
* Taking back: an example with label 1 and weight w was learned; right would have been label 0. The difference of the
  two gradients by f is w·p - w·(p - 1) = w: an example with label 0 and weight w / p.
"""  # noqa: RUF002

from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from martlet.learn.labels.delayed import FNC, FNW
from martlet.learn.labels.kinds import Label

Floats = npt.NDArray[np.float32]
LEAST_PROBABILITY: Final = 1e-6  # a weight of 1 / p stays a number that float32 squares without loss of range


class Insertion(IntEnum):
    """How an example comes into the stream."""

    PLAIN = 0  # once, with a label that stays
    EARLY = 1  # before its window's end, by what is known then
    LATE = 2  # again, as a positive, after it entered as a negative
    TAKEN_BACK = 3  # again, with the opposite label


class Importance(Protocol):
    """Weights that depend on the learner's own logits; asked between the forward pass and the gradient."""

    def __call__(self, logits: Floats, labels: Floats, insertions: npt.NDArray[np.uint8], /) -> Floats:
        """What each example's weight is multiplied by: float32[n], finite, not negative. A constant to the gradient."""
        ...


@dataclass(frozen=True, slots=True)
class FakeNegativeWeighted:
    """FNW. Plain examples keep their weight."""

    def __call__(self, logits: Floats, labels: Floats, insertions: npt.NDArray[np.uint8], /) -> Floats:
        """1 + p for positives, (1 - p)(1 + p) for negatives."""
        p = _probabilities(logits)
        ratio = np.where(labels > 0, 1 + p, (1 - p) * (1 + p))
        return _where(insertions != Insertion.PLAIN, ratio)


@dataclass(frozen=True, slots=True)
class FakeNegativeCalibration:
    """FNC. Plain examples keep their weight."""

    def __call__(self, logits: Floats, labels: Floats, insertions: npt.NDArray[np.uint8], /) -> Floats:
        """1 / (1 + p) for positives, (1 - p) / (1 + p) for negatives."""
        p = _probabilities(logits)
        ratio = np.where(labels > 0, 1.0, 1 - p) / (1 + p)
        return _where(insertions != Insertion.PLAIN, ratio)


@dataclass(frozen=True, slots=True)
class TakingBack:
    """What was learned as a positive is taken back. Other examples keep their weight."""

    def __call__(self, logits: Floats, _labels: Floats, insertions: npt.NDArray[np.uint8], /) -> Floats:
        """1 / p for what is taken back."""
        p = np.maximum(_probabilities(logits), LEAST_PROBABILITY)
        return _where(insertions == Insertion.TAKEN_BACK, 1 / p)


def importance_of(label: Label) -> Importance | None:
    """What a label's examples are weighted by in learning; None: they count as they are.

    Tasks of a MultiTask count as they are, apart from what is taken back; `MultiTask` takes no other method.
    """
    method = getattr(label, "delayed", None)
    if isinstance(method, FNW):
        return FakeNegativeWeighted()
    if isinstance(method, FNC):
        return FakeNegativeCalibration()
    if any(rule.takes_back for rule in label.tasks):
        return TakingBack()
    return None


def _probabilities(logits: Floats) -> npt.NDArray[np.float64]:
    z = logits.astype(np.float64)
    small = np.exp(-np.abs(z))
    return np.asarray(np.where(z >= 0, 1.0, small) / (1.0 + small))


def _where(concerned: npt.NDArray[np.bool_], ratio: npt.NDArray[np.float64]) -> Floats:
    return np.where(concerned, ratio, 1.0).astype(np.float32)
