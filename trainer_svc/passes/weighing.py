"""What is fitted, and how much each example counts: between the forward pass and the gradient."""

import numpy as np
import numpy.typing as npt

from martlet.errors import InvalidInput
from martlet.learn import Label, MultiClass, MultiTask
from martlet.learn.labels import Importance, importance_of
from trainer_svc.batch import Batch

Floats = npt.NDArray[np.float32]


def label_importance(label: Label) -> Importance | None:
    """How a label's examples are weighted by the learner's own logits; None: they count as they are.

    Raises:
        InvalidInput: something is taken back beside a task that has several logits.
    """
    found = [importance for rule in label.tasks if (importance := importance_of(rule))]
    several = isinstance(label, MultiTask) and any(isinstance(one, MultiClass) for one in label.labels.values())
    if found and several:
        raise InvalidInput("takes_back cannot be learned beside a task of several classes")
    return found[0] if found else None


def weights_of(batch: Batch, logits: Floats, importance: Importance | None) -> Floats:
    """The examples' weights, float32[n], of their logits before the step: float32[n], or float32[n, tasks]."""
    if importance is None or batch.insertions is None:
        return batch.weights
    labels = batch.labels
    if labels.ndim > 1:  # each example is of one task
        own = np.nanargmax(~np.isnan(labels), axis=1)[:, None]
        labels, logits = (np.take_along_axis(values, own, 1)[:, 0] for values in (labels, logits))
    late = np.ones(batch.size, np.float32) if batch.late is None else batch.late
    return batch.weights * importance(logits, labels, batch.insertions, late)
