"""What a model's logits are asked for: its loss, an object of its label."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch.nn.functional import binary_cross_entropy_with_logits, huber_loss, mse_loss


class Loss(Protocol):
    """A loss of one logit for each example. A label bears the one that it is learned with."""

    @property
    def link(self) -> str:
        """How a logit becomes a score: "sigmoid" or "identity"."""
        ...

    def total(self, logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """The weighted sum over the examples, a scalar that can be differentiated. All arguments are float32[n]."""
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
