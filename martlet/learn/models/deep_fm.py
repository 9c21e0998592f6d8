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
        outputs: logits; beyond one, they share what is no perceptron's.
    """

    def __init__(
        self, inputs: Mapping[str, Input], dim: int = 16, hidden: Sequence[int] = (64, 32), outputs: int = 1
    ) -> None:
        super().__init__()
        self.outputs = outputs
        self.fields = Fields(inputs, dim + 1)
        self.mlp = perceptron(self.fields.size * dim, hidden, outputs)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, **inputs: torch.Tensor) -> torch.Tensor:
        """Logits [B], or [B, outputs]."""
        fields = self.fields(inputs)
        vectors = fields[:, :, :-1]
        first_order = fields[:, :, -1].sum(1)
        total = vectors.sum(1)
        pairs = 0.5 * (total * total - (vectors * vectors).sum(1)).sum(1)
        deep: torch.Tensor = self.mlp(vectors.flatten(1))
        shared = first_order + pairs
        logits: torch.Tensor = shared + deep.squeeze(1) if self.outputs == 1 else shared[:, None] + deep
        return logits + self.bias
