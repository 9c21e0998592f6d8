"""How a model learns: the settings of its optimizers. The trainer has the code."""

from dataclasses import dataclass

from martlet.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Adam:
    """Adam with bias correction, for the dense weights, on the batch's mean gradient.

    Attributes:
        rate: the learning rate.
        weight_decay: decoupled, as in AdamW.
    """

    rate: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        _check("Adam", rate=self.rate, epsilon=self.epsilon)
        if not (0 <= self.beta1 < 1 and 0 <= self.beta2 < 1):
            raise InvalidInput("Adam: beta1 and beta2 must be in [0, 1)")
        if self.weight_decay < 0:
            raise InvalidInput("Adam: weight_decay must not be negative")


@dataclass(frozen=True, slots=True)
class RowWiseAdaGrad:
    """AdaGrad with one accumulator for each row, for the embedding table, on each row's summed gradient."""

    rate: float = 0.05
    epsilon: float = 1e-6
    l2: float = 0.0

    def __post_init__(self) -> None:
        _check("RowWiseAdaGrad", rate=self.rate, epsilon=self.epsilon)
        if self.l2 < 0:
            raise InvalidInput("RowWiseAdaGrad: l2 must not be negative")


def _check(optimizer: str, **positive: float) -> None:
    for name, value in positive.items():
        if not value > 0:
            raise InvalidInput(f"{optimizer}: {name} must be positive, not {value}")
