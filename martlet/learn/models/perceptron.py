"""The multi-layer perceptron of the built-in models."""

from collections.abc import Sequence

from torch import nn


def perceptron(width: int, hidden: Sequence[int], outputs: int = 1) -> nn.Sequential:
    """Linear layers with ReLU between them, to logits: float32[B, width] -> float32[B, outputs]."""
    layers: list[nn.Module] = []
    for size in hidden:
        layers += [nn.Linear(width, size), nn.ReLU()]
        width = size
    return nn.Sequential(*layers, nn.Linear(width, outputs))
