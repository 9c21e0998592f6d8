"""Policies as probabilities: a version's logits and how an order is drawn from them (see `martlet.exploration`)."""

import numpy as np
import numpy.typing as npt

from martlet.exploration import Exploration

Doubles = npt.NDArray[np.float64]


def choice_probabilities(logits: npt.NDArray[np.floating], left: npt.NDArray[np.bool_], how: Exploration) -> Doubles:
    """The probability of each item to be taken next, float64[a, n], of those that are left: bool[a, n].

    Rows sum to 1 where anything is left, else to 0. Of several best items each is as likely: which one serving would
    take depends on the order in which the candidates came, and that is not recorded.
    """
    z = np.where(left, logits.astype(np.float64), -np.inf)
    top = z.max(axis=1, keepdims=True, initial=-np.inf)
    if how.temperature:
        odds = np.where(left, np.exp((z - np.where(np.isfinite(top), top, 0.0)) / how.temperature), 0.0)
        return _normalised(odds)
    best = _normalised((left & (z == top)).astype(np.float64))
    return how.epsilon * _normalised(left.astype(np.float64)) + (1.0 - how.epsilon) * best


def _normalised(odds: Doubles) -> Doubles:
    whole = odds.sum(axis=1, keepdims=True)
    shares: Doubles = np.divide(odds, whole, out=np.zeros_like(odds), where=whole > 0.0)
    return shares
