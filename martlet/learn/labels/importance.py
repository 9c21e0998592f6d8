"""What an example counts for the way it came into the stream: importance weights.

The gradient of the weighted loss is, in expectation, that of the loss on final labels. p = σ(f) is the learner's own
probability before the step, taken as a constant. An impression is positive in the end with probability p.

d is the share of positives that come after the wait: 1 without a wait, when each impression enters as a negative.

* FNW (Ktena et al. 2019, arXiv 1907.06558): late positives enter twice, as a negative and as a positive. Of the
  insertions b = p / (1 + p·d) are positive. The ratio of the true to the inserted distribution is p / b = 1 + p·d for
  positives and (1 - p) / (1 - b) = (1 - p)(1 + p·d) / (1 - p + p·d) for negatives. With d = 1 these are the paper's
  1 + p and (1 - p)(1 + p); with a wait they are ES-DFM's (Yang et al. 2021, arXiv 2012.03245, eq. 12) with
  p_dp = p·d and p_rn = (1 - p) / (1 - p + p·d). If q is what is fitted with d estimated as e, the gradient is zero at
  q = p / (1 + p·(d - e)) and nowhere else: an error of e counts by p only.
* FNC (same paper): the likelihood of b itself, -y log b - (1 - y) log(1 - b). Its derivative by f is that of the
  cross-entropy of p times 1 / (1 + p·d) for positives and (1 - p) / ((1 - p + p·d)(1 + p·d)) for negatives. So p is
  what is fitted, and no calibration p = b / (1 - b) is left for serving.
* ES-DFM's own weights do not depend on p: see `trainer_svc.late_outcomes`.
* Taking back: an example with label 1 and weight w was learned; right would have been label 0. The difference of the
  two gradients by f is w·p - w·(p - 1) = w: an example with label 0 and weight w / p.
"""  # noqa: RUF002

from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from martlet.learn.labels.delayed import FNC, FNW
from martlet.learn.labels.rule import TaskRule

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

    def __call__(self, logits: Floats, labels: Floats, insertions: npt.NDArray[np.uint8], late: Floats, /) -> Floats:
        """What each example's weight is multiplied by: float32[n], finite, not negative. A constant to the gradient.

        Args:
            logits: float32[n], before the step, without offsets.
            labels: float32[n].
            insertions: uint8[n], `Insertion`.
            late: float32[n], the share of positives that come after the wait.
        """
        ...


@dataclass(frozen=True, slots=True)
class FakeNegativeWeighted:
    """FNW. Plain examples keep their weight."""

    def __call__(self, logits: Floats, labels: Floats, insertions: npt.NDArray[np.uint8], late: Floats, /) -> Floats:
        """1 + p·d for positives, (1 - p)(1 + p·d) / (1 - p + p·d) for negatives."""
        p = _probabilities(logits)
        ratio = np.where(labels > 0, 1.0, _real(p, late)) * (1 + p * late)
        return _where(insertions != Insertion.PLAIN, ratio)


@dataclass(frozen=True, slots=True)
class FakeNegativeCalibration:
    """FNC. Plain examples keep their weight."""

    def __call__(self, logits: Floats, labels: Floats, insertions: npt.NDArray[np.uint8], late: Floats, /) -> Floats:
        """1 / (1 + p·d) for positives, (1 - p) / ((1 - p + p·d)(1 + p·d)) for negatives."""
        p = _probabilities(logits)
        ratio = np.where(labels > 0, 1.0, _real(p, late)) / (1 + p * late)
        return _where(insertions != Insertion.PLAIN, ratio)


@dataclass(frozen=True, slots=True)
class TakingBack:
    """What was learned as a positive is taken back. Other examples keep their weight."""

    def __call__(self, logits: Floats, _labels: Floats, insertions: npt.NDArray[np.uint8], _late: Floats, /) -> Floats:
        """1 / p for what is taken back."""
        p = np.maximum(_probabilities(logits), LEAST_PROBABILITY)
        return _where(insertions == Insertion.TAKEN_BACK, 1 / p)


def importance_of(rule: TaskRule) -> Importance | None:
    """What a task's examples are weighted by in learning; None: they count as they are."""
    if isinstance(rule.delayed, FNW):
        return FakeNegativeWeighted()
    if isinstance(rule.delayed, FNC):
        return FakeNegativeCalibration()
    return TakingBack() if rule.takes_back else None


def _real(p: npt.NDArray[np.float64], late: Floats) -> npt.NDArray[np.float64]:
    """The share of real negatives among what enters as a negative. p = 1 and d = 0: nothing enters."""
    return (1 - p) / np.maximum(1 - p + p * late, 1e-12)


def _probabilities(logits: Floats) -> npt.NDArray[np.float64]:
    z = logits.astype(np.float64)
    small = np.exp(-np.abs(z))
    return np.asarray(np.where(z >= 0, 1.0, small) / (1.0 + small))


def _where(concerned: npt.NDArray[np.bool_], ratio: npt.NDArray[np.float64]) -> Floats:
    return np.where(concerned, ratio, 1.0).astype(np.float32)
