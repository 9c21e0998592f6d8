"""A network's parameters and gradients as one vector each."""

import math
from collections.abc import Iterable
from typing import Final

import numpy as np
import torch
from torch import nn

# Every parameter begins at a multiple of 64 bytes, as torch's own allocations do.
_ALIGN: Final = 16


class FlatParameters:
    """Moves parameters, and their gradients, into one vector each: an update is a handful of operations, not per layer.

    Attributes:
        values: float32[size]; the parameters are views of it.
        gradients: float32[size]; their gradients are.
        places: where each parameter lies, in their order.
    """

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        kept = list(parameters)
        starts = np.cumsum([0, *(_ALIGN * math.ceil(parameter.numel() / _ALIGN) for parameter in kept)])
        self.values = torch.zeros(int(starts[-1]))
        self.gradients = torch.zeros(int(starts[-1]))
        self.places = tuple(
            slice(start, start + parameter.numel()) for parameter, start in zip(kept, starts.tolist(), strict=False)
        )
        for parameter, place in zip(kept, self.places, strict=True):
            self.values[place] = parameter.detach().reshape(-1)
            parameter.data = self.values[place].view(parameter.shape)
            parameter.grad = self.gradients[place].view(parameter.shape)
