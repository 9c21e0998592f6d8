"""What is fitted beside what is served: logits with an offset, and weights that depend on the learner's own scores."""

import numpy as np
import numpy.typing as npt

from martlet.learn.heads import SIGMOID, Head
from martlet.learn.labels import Importance
from trainer_svc.batch import Batch

Floats = npt.NDArray[np.float32]


class Fitting:
    """How the examples of one model count. Pure.

    Args:
        head: which columns of the logits are probabilities': offsets are of those alone.
        importance: see `martlet.learn.labels.importance`; None: weights are as they come.
    """

    def __init__(self, head: Head, importance: Importance | None) -> None:
        self._importance = importance
        self._columns = head.columns
        self._firsts = np.array([task.first for task in head.tasks], np.int64)
        self._shifted = np.zeros(head.columns, np.float32)
        self._shifted[[task.first for task in head.tasks if task.link == SIGMOID]] = 1.0

    def offsets(self, batch: Batch) -> Floats | None:
        """What is added to the logits before the loss: of their shape, or None."""
        if batch.offsets is None:
            return None
        return batch.offsets * self._shifted[0] if self._columns == 1 else batch.offsets[:, None] * self._shifted

    def weights(self, batch: Batch, logits: Floats) -> Floats:
        """What each example counts, float32[n]; `logits` are those that the loss is of."""
        if self._importance is None or batch.insertions is None:
            return batch.weights
        logits, labels = self._own(logits, batch.labels)
        return batch.weights * self._importance(logits, labels, batch.insertions)

    def _own(self, logits: Floats, labels: Floats) -> tuple[Floats, Floats]:
        """Of each example the logit and the label of its own task: an example is of one task."""
        if labels.ndim == 1:
            return logits.reshape(labels.shape[0], -1)[:, 0], labels
        rows, task = np.arange(labels.shape[0]), np.argmax(~np.isnan(labels), 1)
        return logits.reshape(labels.shape[0], -1)[rows, self._firsts[task]], labels[rows, task]
