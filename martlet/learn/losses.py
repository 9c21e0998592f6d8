"""What a model's logits are asked for: its loss, an object of its label."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, huber_loss, mse_loss


class Loss(Protocol):
    """A loss of the logits of each example. A label bears the one that it is learned with."""

    @property
    def link(self) -> str:
        """How a logit becomes a score: "sigmoid", "identity" or "softmax"."""
        ...

    def total(self, logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """The weighted sum over the examples, a scalar that can be differentiated.

        All arguments are float32[n]; with more than one column (see `martlet.learn.heads`) logits are [n, columns], and
        of several tasks labels are [n, tasks], NaN where an example says nothing of a task.
        """
        ...


@dataclass(frozen=True, slots=True)
class BinaryCrossEntropy:
    """-y · log(σ(z)) - (1 - y) · log(1 - σ(z)) in nats, of a logit z and a label y in [0, 1]."""  # noqa: RUF002

    @property
    def link(self) -> str:
        """A score is a probability."""
        return "sigmoid"

    def total(self, logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """The weighted sum."""
        return binary_cross_entropy_with_logits(logits, labels, weights, reduction="sum")


@dataclass(frozen=True, slots=True)
class SquaredError:
    """(z - y)² of a prediction z and a label y; the units are the label's, squared."""

    @property
    def link(self) -> str:
        """A score is the number itself."""
        return "identity"

    def total(self, logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """The weighted sum."""
        return (weights * mse_loss(logits, labels, reduction="none")).sum()


@dataclass(frozen=True, slots=True)
class HuberLoss:
    """Squared error up to a distance, growing along its tangent from there on (Huber 1964): far labels pull less.

    d² for a distance d = |z - y| of at most `delta`, else 2 · delta · d - delta². A small delta predicts nearly the
    median, where squared error predicts the mean.
    """

    delta: float

    @property
    def link(self) -> str:
        """A score is the number itself."""
        return "identity"

    def total(self, logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """The weighted sum."""
        return (weights * 2 * huber_loss(logits, labels, reduction="none", delta=self.delta)).sum()


@dataclass(frozen=True, slots=True)
class SoftmaxCrossEntropy:
    """-log of the softmax of the label's class, in nats; labels are the numbers of classes, from 0."""

    @property
    def link(self) -> str:
        """Scores are the classes' probabilities."""
        return "softmax"

    def total(self, logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """The weighted sum."""
        return (weights * cross_entropy(logits, labels.long(), reduction="none")).sum()


@dataclass(frozen=True, slots=True)
class TaskLosses:
    """The sum of several tasks' losses, each over the examples that have a label of it.

    Attributes:
        losses: in the tasks' order.
        columns: how many logits each task has.
    """

    losses: Sequence[Loss]
    columns: Sequence[int]

    @property
    def link(self) -> str:
        """The main task's."""
        return self.losses[0].link

    def total(self, logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """The weighted sum over examples and tasks."""
        count = labels.shape[0]
        logits, labels = logits.reshape(count, -1), labels.reshape(count, -1)
        known = ~torch.isnan(labels)
        # A weight of 0 alone would not do: 0 times NaN is NaN.
        told = torch.where(known, labels, 0.0)
        total, first = torch.zeros(()), 0
        for task, (loss, columns) in enumerate(zip(self.losses, self.columns, strict=True)):
            part = logits[:, first] if columns == 1 else logits[:, first : first + columns]
            total = total + loss.total(part, told[:, task], weights * known[:, task])
            first += columns
        return total
