"""Optimizers of the dense weights. That of the rows is a kernel of the embedding table."""

import math
from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from martlet.learn import Adam

# Every parameter begins at a multiple of 64 bytes, as torch's own allocations do.
_ALIGN: Final = 16


class FlatParameters:
    """Moves parameters, and their gradients, into one vector each: an update is a handful of operations, not per layer.

    Attributes:
        values: float32[size]; the parameters are views of it.
        gradients: float32[size]; their gradients are.
    """

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        kept = list(parameters)
        starts = np.cumsum([0, *(_ALIGN * math.ceil(parameter.numel() / _ALIGN) for parameter in kept)])
        self.values = torch.zeros(int(starts[-1]))
        self.gradients = torch.zeros(int(starts[-1]))
        for parameter, start in zip(kept, starts.tolist(), strict=False):
            place = slice(start, start + parameter.numel())
            self.values[place] = parameter.detach().reshape(-1)
            parameter.data = self.values[place].view(parameter.shape)
            parameter.grad = self.gradients[place].view(parameter.shape)


class DenseAdam:
    """Adam (Kingma, Ba 2015), with AdamW's decoupled decay, on flat parameters."""

    def __init__(self, settings: Adam, parameters: FlatParameters) -> None:
        self._settings = settings
        self._parameters = parameters
        self._mean = torch.zeros_like(parameters.values)
        self._square = torch.zeros_like(parameters.values)
        self._steps = 0

    @torch.no_grad()
    def step(self, scale: float) -> None:
        """One step on the gradients times `scale`."""
        settings, values = self._settings, self._parameters.values
        gradients = self._parameters.gradients.mul_(scale)
        self._steps += 1
        self._mean.lerp_(gradients, 1 - settings.beta1)
        self._square.mul_(settings.beta2).addcmul_(gradients, gradients, value=1 - settings.beta2)
        deviation = self._square.sqrt().div_(math.sqrt(1 - settings.beta2**self._steps)).add_(settings.epsilon)
        if settings.weight_decay:
            values.mul_(1 - settings.rate * settings.weight_decay)
        values.addcdiv_(self._mean, deviation, value=-settings.rate / (1 - settings.beta1**self._steps))

    def state(self) -> dict[str, npt.NDArray[np.generic]]:
        """Moments and step count (not copies)."""
        return {"mean": self._mean.numpy(), "square": self._square.numpy(), "steps": np.array(self._steps, np.int64)}

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Takes a state over, bit for bit (copies)."""
        self._mean.copy_(torch.from_numpy(np.array(state["mean"])))
        self._square.copy_(torch.from_numpy(np.array(state["square"])))
        self._steps = int(np.asarray(state["steps"], np.int64))
