"""Test, then train: quality of the learner's own scores before each example was learned, over a recent window."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from trainer_svc.evaluation.running import RunningQuality

Floats = npt.NDArray[np.float32]


def log_losses(logits: npt.NDArray[np.floating], labels: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """The log-loss of each logit, float64[n]; finite for any finite logit."""
    z = logits.astype(np.float64)
    return np.asarray(np.logaddexp(0.0, z) - labels * z, np.float64)


def losses(link: str, logits: npt.NDArray[np.floating], labels: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """The loss by which a main task is followed: log-losses of yes or no, else squared errors (of the class too)."""
    if link == "sigmoid":
        return log_losses(logits, labels)
    return np.asarray((logits.astype(np.float64) - labels) ** 2)


def loss_name(link: str) -> str:
    """What `losses` are called."""
    return "logloss" if link == "sigmoid" else "squared_error"


def area_under_curve(logits: npt.NDArray[np.floating], labels: npt.NDArray[np.floating]) -> float:
    """The chance that a positive stands above a negative, ties counting half; NaN without both.

    >>> area_under_curve(np.array([0.1, 0.9, 0.4]), np.array([0.0, 1.0, 0.0]))
    1.0
    """
    positive = labels > 0.5  # noqa: PLR2004  labels are 0 or 1
    n_positive, n = int(positive.sum()), labels.shape[0]
    if n_positive in (0, n):
        return float("nan")
    _, inverse, counts = np.unique(logits, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2.0)[inverse]
    above = float(ranks[positive].sum()) - n_positive * (n_positive + 1) / 2.0
    return float(above / (n_positive * (n - n_positive)))


class Prequential:
    """The last `window` tested examples. Not thread-safe. `link`: of the main task's logits."""

    def __init__(self, window: int, link: str = "sigmoid") -> None:
        self._link = link
        self._logits: Floats = np.zeros(window, np.float32)
        self._labels: Floats = np.zeros(window, np.float32)
        self._weights: Floats = np.ones(window, np.float32)
        self._count = 0
        self._running = RunningQuality(numbers=link != "sigmoid")
        self._now_us = 0

    def advance(self, now_us: int) -> None:
        """Event time has come so far: what is tested next is tested then."""
        self._now_us = now_us

    def update(self, logits: Floats, labels: Floats, weights: Floats | None = None) -> None:
        """Adds tested examples. `weights`: how many each stands for; None: itself."""
        window = self._logits.shape[0]
        at = (self._count + np.arange(logits.shape[0])[-window:]) % window
        self._logits[at], self._labels[at] = logits[-window:], labels[-window:]
        self._weights[at] = 1 if weights is None else weights[-window:]
        self._count += logits.shape[0]
        self._running.update(logits, labels, self._now_us, weights)

    def get(self) -> dict[str, float]:
        """`logloss` (or `squared_error`), `auc` and `examples` of the window; a figure without a value is left out."""
        size = min(self._count, self._logits.shape[0])
        if not size:
            return {"examples": 0.0}
        logits, labels, weights = self._logits[:size], self._labels[:size], self._weights[:size]
        own = losses(self._link, logits, labels)
        loss = float(own.mean()) if (weights == 1).all() else float(np.average(own, weights=weights))
        figures = {"examples": float(size), loss_name(self._link): loss}
        if self._link != "sigmoid":
            return figures
        auc = area_under_curve(logits, labels)  # of negatives chosen by a hash, it needs no weights
        return figures if np.isnan(auc) else figures | {"auc": auc}

    def running(self) -> dict[str, float]:
        """Figures over a window of event time, and fading ones (see `RunningQuality`)."""
        return self._running.get()

    def state(self) -> dict[str, npt.NDArray[np.generic]]:
        """Arrays, not copies."""
        count = np.array([self._count], np.int64)
        own: dict[str, npt.NDArray[np.generic]] = {
            "logits": self._logits,
            "labels": self._labels,
            "weights": self._weights,
            "count": count,
        }
        return {**own, **{f"running/{name}": array for name, array in self._running.state().items()}}

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Takes a state over (copies)."""
        self._logits = np.array(state["logits"], np.float32)
        self._labels = np.array(state["labels"], np.float32)
        self._weights = np.array(state.get("weights", np.ones(self._labels.shape)), np.float32)
        self._count = int(state["count"][0])
        running = {name.removeprefix("running/"): array for name, array in state.items() if "/" in name}
        self._running.restore(running)
