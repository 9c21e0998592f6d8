"""Paired loss differences: what one labelled request says about two versions.

Both logits are clipped to within B of each other, so the difference of their log-losses is at most B in size. B is
fixed from earlier requests that are not part of the evidence; a cap taken from each request alone would fail.
"""

from math import exp, log1p

import numpy as np
import numpy.typing as npt


def log_loss(logits: npt.NDArray[np.float64], labels: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Binary cross-entropy in nats, from logits, without overflow: float64 of the arrays' shape."""
    with np.errstate(invalid="ignore"):  # NaN in, NaN out: the guards see it
        return np.logaddexp(0.0, logits) - labels * logits


def loss_difference(
    version: npt.NDArray[np.float64],
    comparator: npt.NDArray[np.float64],
    labels: npt.NDArray[np.float64],
    bound: float | npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """Log-loss of the version minus the comparator's, in [-bound, bound]; positive is worse.

    Non-finite logits give NaN: a failure of a guard, not a unit of evidence.
    """
    near = comparator + np.clip(version - comparator, -bound, bound)
    return np.clip(log_loss(near, labels) - log_loss(comparator, labels), -bound, bound)


def log_loss_of(logit: float, label: float) -> float:
    """Binary cross-entropy of one finite logit, in nats."""
    return max(logit, 0.0) + log1p(exp(-abs(logit))) - label * logit


def loss_difference_of(version: float, comparator: float, label: float, bound: float) -> float:
    """`loss_difference` of one item with finite logits."""
    near = comparator + min(max(version - comparator, -bound), bound)
    return min(max(log_loss_of(near, label) - log_loss_of(comparator, label), -bound), bound)


def sigmoid_of(logit: float) -> float:
    """The probability of one finite logit."""
    return 1.0 / (1.0 + exp(-logit)) if logit >= 0 else exp(logit) / (1.0 + exp(logit))
