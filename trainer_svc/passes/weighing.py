"""What is fitted, and how much each example counts: between the forward pass and the gradient."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import numpy.typing as npt

from martlet.learn import Label, MultiClass, MultiTask
from martlet.learn.labels import Importance, importance_of
from trainer_svc.batch import Batch

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class LabelImportance:
    """How a label's examples are weighted by the learner's own logits, task by task.

    Attributes:
        tasks: in their order; None: that task's examples count as they are.
        columns: where each task's logits begin. A task that is weighted has one.
    """

    tasks: Sequence[Importance | None]
    columns: Sequence[int]

    def factors(self, batch: Batch, insertions: npt.NDArray[np.uint8], logits: Floats) -> Floats:
        """What weights are multiplied by, float32[n]. `logits`: float32[n] or [n, columns]."""
        late = np.ones(batch.size, np.float32) if batch.late is None else batch.late
        labels, table = (one if one.ndim > 1 else one[:, None] for one in (batch.labels, logits))
        factors = np.ones(batch.size, np.float32)
        for task, (importance, column) in enumerate(zip(self.tasks, self.columns, strict=True)):
            if importance is None:
                continue
            own = ~np.isnan(labels[:, task])  # each example is of one task
            told = importance(table[own, column], labels[own, task], insertions[own], late[own])
            factors[own] = told
        return factors


def label_importance(label: Label) -> LabelImportance | None:
    """How a label's examples are weighted by the learner's own logits; None: they count as they are."""
    found = tuple(importance_of(rule) for rule in label.tasks)
    if not any(found):
        return None
    labels = label.labels.values() if isinstance(label, MultiTask) else (label,)
    sizes = [one.size if isinstance(one, MultiClass) else 1 for one in labels]
    return LabelImportance(found, tuple(accumulate(sizes[:-1], initial=0)))


def weights_of(batch: Batch, logits: Floats, importance: LabelImportance | None) -> Floats:
    """The examples' weights, float32[n], of their logits before the step: float32[n], or float32[n, columns]."""
    if importance is None or batch.insertions is None:
        return batch.weights
    return batch.weights * importance.factors(batch, batch.insertions, logits)
