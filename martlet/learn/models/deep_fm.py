"""DeepFM (Guo et al. 2017): first-order weights, pairwise products and a perceptron over the same rows."""

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from martlet.learn.inputs import Input
from martlet.learn.models.fields import Fields
from martlet.learn.models.perceptron import perceptron


class DeepFM(nn.Module):
    """A network for `Model`; its inputs are the model's.

    Args:
        inputs: as `Model` takes them.
        dim: columns of an embedding. A row has one more, its first-order weight.
        hidden: widths of the perceptron's layers.
    """

    def __init__(self, inputs: Mapping[str, Input], dim: int = 16, hidden: Sequence[int] = (64, 32)) -> None:
        super().__init__()
        self.fields = Fields(inputs, dim + 1)
        self.mlp = perceptron(self.fields.size * dim, hidden)
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, **inputs: torch.Tensor) -> torch.Tensor:
        """Logits [B]."""
        fields = self.fields(inputs)
        vectors = fields[:, :, :-1]
        first_order = fields[:, :, -1].sum(1)
        total = vectors.sum(1)
        pairs = 0.5 * (total * total - (vectors * vectors).sum(1)).sum(1)
        deep: torch.Tensor = self.mlp(vectors.flatten(1)).squeeze(1)
        logits: torch.Tensor = first_order + pairs + deep + self.bias
        return logits
