"""DCN-v2 (Wang et al. 2021), parallel form: explicit crosses beside a perceptron."""

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from martlet.learn.inputs import Input
from martlet.learn.models.fields import Fields
from martlet.learn.models.perceptron import perceptron


class DCNv2(nn.Module):
    """A network for `Model`; its inputs are the model's.

    Args:
        inputs: as `Model` takes them.
        dim: columns of an embedding.
        crosses: cross layers, at least 1.
        hidden: widths of the perceptron's layers, at least one.
        outputs: logits.
    """

    def __init__(
        self,
        inputs: Mapping[str, Input],
        dim: int = 16,
        crosses: int = 2,
        hidden: Sequence[int] = (64, 32),
        outputs: int = 1,
    ) -> None:
        super().__init__()
        self.outputs = outputs
        self.fields = Fields(inputs, dim)
        width = self.fields.size * dim
        self.crosses = nn.ModuleList(nn.Linear(width, width) for _ in range(crosses))
        self.mlp = perceptron(width, hidden, outputs)
        self.last = nn.Linear(width, outputs, bias=False)

    def forward(self, **inputs: torch.Tensor) -> torch.Tensor:
        """Logits [B], or [B, outputs]."""
        start = self.fields(inputs).flatten(1)
        crossed = start
        for cross in self.crosses:
            crossed = start * cross(crossed) + crossed
        logits: torch.Tensor = self.last(crossed) + self.mlp(start)
        return logits.squeeze(1) if self.outputs == 1 else logits
