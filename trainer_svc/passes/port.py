"""What the learner asks of the computation of a model."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from martlet.feature_spec import FeatureBlock
from trainer_svc.batch import Batch

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Passed:
    """What a forward and a backward pass gave. The dense gradients stand in the parameters.

    Attributes:
        logits: float32[n], or [n, columns] of the model's head.
        total: the loss, summed over the examples with their weights.
        gradients: for each table of its gathered rows, of the total.
    """

    logits: Floats
    total: float
    gradients: list[Floats]


class Passes(Protocol):
    """The computation of one model. The same calls give the same bits."""

    @property
    def learns_as_it_scores(self) -> bool:
        """Whether `learn` gives the logits that `score` gives, bit for bit: no dropout, no batch statistics."""
        ...

    def score(self, block: FeatureBlock, gathered: list[torch.Tensor]) -> Floats:
        """Logits, float32[n] or [n, columns], from the rows of each table.

        `gathered`: float32[N, width], in the order of `TableLookup.spread`.
        """
        ...

    def learn(self, batch: Batch, gathered: list[torch.Tensor]) -> Passed:
        """Forward and backward. Gradients of the dense weights are those of the total, not added to earlier ones."""
        ...

    def undo(self) -> None:
        """What the last `learn` changed beside gradients, such as running statistics, is as before it."""
        ...
