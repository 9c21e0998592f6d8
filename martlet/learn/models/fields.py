"""The common front of the built-in models: every input becomes a field, a vector of one width.

All ids have rows of one width, so that they stand in one physical table. A list becomes the mean of its rows (Gather
and a masked sum: nn.EmbeddingBag would become a loop in ONNX). A number becomes a learned vector, times the number; a
vector the product with a learned matrix.
"""

from collections.abc import Mapping

import torch
from torch import nn

from martlet.feature_encoding import MASK_SUFFIX
from martlet.learn.inputs import IdInput, IdList, Input, Number, Vector

_MATRIX = "matrix_of_"
_LAYER = "rows_of_"  # an nn.ModuleDict refuses keys such as "type"; names of inputs must not matter


class Fields(nn.Module):
    """Turns the inputs, by name, into float32[B, fields, width]."""

    def __init__(self, inputs: Mapping[str, Input], width: int) -> None:
        super().__init__()
        self.width = width
        self.size = len(inputs)
        self._kinds = dict(inputs)
        self._spaces = {name: kind.space or name for name, kind in inputs.items() if isinstance(kind, IdInput)}
        spaces = dict.fromkeys(self._spaces.values())
        self.rows = nn.ModuleDict({_LAYER + space: nn.Embedding(1, width) for space in spaces})
        numbers = sum(isinstance(kind, Number) for kind in inputs.values())
        if numbers:
            self.numbers = nn.Parameter(torch.randn(numbers, width) * 0.01)
        self.vectors = nn.ModuleDict(
            {_MATRIX + name: _matrix(kind, width) for name, kind in inputs.items() if isinstance(kind, Vector)}
        )

    def forward(self, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The fields of each example: those of ids and lists in the inputs' order, of vectors, then of numbers."""
        fields = [self._field(name, inputs) for name in self._spaces]
        fields += [matrix(inputs[name.removeprefix(_MATRIX)]) for name, matrix in self.vectors.items()]
        stacked = [torch.stack(fields, 1)] if fields else []
        numbers = [inputs[name] for name, kind in self._kinds.items() if isinstance(kind, Number)]
        if numbers:
            stacked.append(torch.cat(numbers, 1)[:, :, None] * self.numbers)
        return torch.cat(stacked, 1)

    def _field(self, name: str, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        rows: torch.Tensor = self.rows[_LAYER + self._spaces[name]](inputs[name])
        kind = self._kinds[name]
        if not isinstance(kind, IdList) or kind.pool:
            return rows
        mask = inputs[name + MASK_SUFFIX]
        count = mask.sum(1, keepdim=True).clamp(min=1.0)
        return (rows * mask[:, :, None]).sum(1) / count


def _matrix(vector: Vector, width: int) -> nn.Linear:
    """It begins so small that a vector's field is about as long as a number's."""
    matrix = nn.Linear(vector.width, width, bias=False)
    nn.init.normal_(matrix.weight, std=0.01)
    return matrix
