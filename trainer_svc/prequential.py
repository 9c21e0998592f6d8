"""Quality on examples before they are learned: over a recent window, and for each version by the scores it gave."""

from collections import deque
from math import log

import numpy as np

from martlet.measurement import Measurement
from trainer_svc.joiner import Example

WINDOW = 5000


class Prequential:
    """The last examples' labels and the logits with which they were answered. Not thread-safe."""

    def __init__(self, window: int = WINDOW) -> None:
        self._pairs: deque[tuple[float, float]] = deque(maxlen=window)

    def update(self, example: Example) -> None:
        """Takes an example by its recorded score."""
        logits = example.prediction.scores.get(example.prediction.version)
        if logits is not None:
            self._pairs.append((float(logits[example.item]), example.label))

    def quality(self) -> dict[str, float]:
        """`logloss`, `auc` (where both labels occur), `examples`; empty without examples."""
        if not self._pairs:
            return {}
        logits, labels = np.array(self._pairs, np.float64).T
        loss = float(np.mean(np.logaddexp(0.0, logits) - labels * logits))
        found = {"logloss": loss, "examples": float(len(self._pairs))}
        if 0 < labels.sum() < labels.shape[0]:
            found["auc"] = area_under_curve(logits, labels)
        return found

    def state(self) -> list[tuple[float, float]]:
        """The window, oldest first."""
        return list(self._pairs)

    def restore(self, state: list[tuple[float, float]]) -> None:
        """Takes a state over."""
        self._pairs.clear()
        self._pairs.extend(state)


def area_under_curve(scores: np.ndarray, labels: np.ndarray) -> float:
    """ROC-AUC by ranks, ties counting half (Mann-Whitney). Labels are 0 or 1, both present."""
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2.0)[inverse]
    positives = float(labels.sum())
    negatives = labels.shape[0] - positives
    return float((ranks[labels == 1.0].sum() - positives * (positives + 1) / 2.0) / (positives * negatives))


class Scoreboard:
    """Log-loss of each version by the scores it really gave, since the last report. Not thread-safe."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._sums: dict[int, tuple[int, float, float]] = {}

    def update(self, example: Example) -> None:
        """Takes an example for every version that scored it."""
        for version, logits in example.prediction.scores.items():
            loss = log_loss(float(logits[example.item]), example.label)
            count, total, squares = self._sums.get(version, (0, 0.0, 0.0))
            self._sums[version] = (count + 1, total + loss, squares + loss * loss)

    def take(self) -> tuple[Measurement, ...]:
        """The measurements since the last call."""
        taken, self._sums = self._sums, {}
        return tuple(Measurement(self._model, version, "logloss", *sums) for version, sums in sorted(taken.items()))


def log_loss(logit: float, label: float) -> float:
    """Binary cross-entropy in nats, from a logit, without overflow."""
    return max(logit, 0.0) - label * logit + log(1.0 + float(np.exp(-abs(logit))))
