"""Logistic regression over ids and numbers: a weight for each id, one for each number, no layers."""

from collections.abc import Mapping

import torch
from torch import nn

from martlet.learn.inputs import Input
from martlet.learn.model import Model
from martlet.learn.models.build import model_of
from martlet.learn.models.fields import Fields
from martlet.learn.objective import Label
from martlet.learn.optimizers import FTRL, RowFTRL


class Linear(nn.Module):
    """A network for `Model`: logit = bias + Σ weights of the ids + Σ weight · number; a list counts with its mean.

    The trainer learns it without torch, in one compiled pass.
    """

    def __init__(self, inputs: Mapping[str, Input]) -> None:
        super().__init__()
        self.fields = Fields(inputs, 1)
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, **inputs: torch.Tensor) -> torch.Tensor:
        """Logits [B]."""
        logits: torch.Tensor = self.fields(inputs).sum((1, 2)) + self.bias
        return logits


def linear(
    name: str,
    *,
    inputs: Mapping[str, Input],
    label: Label,
    rate: float = 0.1,
    beta: float = 1.0,
    l1: float = 0.0,
    l2: float = 0.0,
) -> Model:
    """A linear model that learns by FTRL-proximal (see `FTRL` for the settings), as ad systems do.

    l1 and l2 are of the ids' weights; those of the numbers and the bias are few, and not regularised.

    Raises:
        InvalidInput: see `Model`.
    """
    rows, dense = RowFTRL(rate, beta, l1, l2), FTRL(rate, beta)
    return model_of(name, Linear, inputs=inputs, label=label, dense=dense, rows=rows)
