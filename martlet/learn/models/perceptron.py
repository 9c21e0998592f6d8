"""The multi-layer perceptron of the built-in models."""

from collections.abc import Sequence

from torch import nn


def perceptron(width: int, hidden: Sequence[int]) -> nn.Sequential:
    """Linear layers with ReLU between them, to one logit: float32[B, width] -> float32[B, 1]."""
    layers: list[nn.Module] = []
    for size in hidden:
        layers += [nn.Linear(width, size), nn.ReLU()]
        width = size
    return nn.Sequential(*layers, nn.Linear(width, 1))
