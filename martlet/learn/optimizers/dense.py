"""Optimizers of the dense weights. They step on the mean gradient of a batch.

What all have: `rate`; `clip`, applied first; then `l2` adds l2 · w to the gradient and `l1` adds l1 · sign(w).
The formulas write g for the gradient after that, η for the rate of this step, and take every operation by component.
"""

from dataclasses import dataclass

from martlet.errors import InvalidInput
from martlet.learn.optimizers.checks import fraction, not_negative, positive
from martlet.learn.optimizers.clipping import Clip
from martlet.learn.optimizers.rates import Rate, check_rate


@dataclass(frozen=True, slots=True)
class SGD:
    """Stochastic gradient descent (Robbins, Monro 1951): w ← w - η · g."""

    rate: Rate = 0.01
    l1: float = 0.0
    l2: float = 0.0
    clip: Clip | None = None

    def __post_init__(self) -> None:
        check_rate(self, self.rate)
        not_negative(self, l1=self.l1, l2=self.l2)


@dataclass(frozen=True, slots=True)
class Momentum:
    """Momentum (Polyak 1964), in torch's form (Sutskever et al. 2013, without their rate inside the velocity).

    v ← momentum · v + g; w ← w - η · v, with Nesterov w ← w - η · (g + momentum · v).
    """

    rate: Rate = 0.01
    momentum: float = 0.9
    nesterov: bool = False
    l1: float = 0.0
    l2: float = 0.0
    clip: Clip | None = None

    def __post_init__(self) -> None:
        check_rate(self, self.rate)
        fraction(self, momentum=self.momentum)
        not_negative(self, l1=self.l1, l2=self.l2)


@dataclass(frozen=True, slots=True)
class AdaGrad:
    """AdaGrad, diagonal (Duchi, Hazan, Singer 2011): s ← s + g²; w ← w - η · g / (√s + epsilon)."""

    rate: Rate = 0.01
    epsilon: float = 1e-10
    l1: float = 0.0
    l2: float = 0.0
    clip: Clip | None = None

    def __post_init__(self) -> None:
        check_rate(self, self.rate)
        positive(self, epsilon=self.epsilon)
        not_negative(self, l1=self.l1, l2=self.l2)


@dataclass(frozen=True, slots=True)
class RMSProp:
    """RMSProp (Hinton's lecture 6e, 2012): s ← decay · s + (1 - decay) · g²; w ← w - η · g / (√s + epsilon)."""

    rate: Rate = 0.01
    decay: float = 0.99
    epsilon: float = 1e-8
    l1: float = 0.0
    l2: float = 0.0
    clip: Clip | None = None

    def __post_init__(self) -> None:
        check_rate(self, self.rate)
        fraction(self, decay=self.decay)
        positive(self, epsilon=self.epsilon)
        not_negative(self, l1=self.l1, l2=self.l2)


@dataclass(frozen=True, slots=True)
class Adam:
    """Adam with bias correction (Kingma, Ba 2015).

    m ← beta1 · m + (1 - beta1) · g; s ← beta2 · s + (1 - beta2) · g²;
    w ← w - η · m / (1 - beta1^t) / (√(s / (1 - beta2^t)) + epsilon), t = 1 in the first step.

    Attributes:
        weight_decay: decoupled: w ← w · (1 - η · weight_decay) first, as in AdamW (Loshchilov, Hutter 2019).
    """

    rate: Rate = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    l1: float = 0.0
    l2: float = 0.0
    clip: Clip | None = None

    def __post_init__(self) -> None:
        check_rate(self, self.rate)
        positive(self, epsilon=self.epsilon)
        fraction(self, beta1=self.beta1, beta2=self.beta2)
        not_negative(self, weight_decay=self.weight_decay, l1=self.l1, l2=self.l2)


@dataclass(frozen=True, slots=True)
class FTRL:
    """FTRL-proximal (McMahan et al. 2013, algorithm 1). Here l1 and l2 belong to the proximal step, not to g.

    z ← z + g - (√(n + g²) - √n) / rate · w; n ← n + g²;
    w ← 0 if |z| ≤ l1, else -(z - sign(z) · l1) / ((beta + √n) / rate + l2).

    The paper begins at w = 0, z = 0. A weight that begins elsewhere begins with z = -w · (beta / rate + l2), so that
    with l1 = 0 it stays where it is until its first gradient. The rate (alpha in the paper) is a number: each weight's
    own rate falls by itself, and another alpha would move weights without a gradient.
    """

    rate: float = 0.1
    beta: float = 1.0
    l1: float = 0.0
    l2: float = 0.0
    clip: Clip | None = None

    def __post_init__(self) -> None:
        check_number(self, self.rate)
        positive(self, beta=self.beta)
        not_negative(self, l1=self.l1, l2=self.l2)


def check_number(owner: object, rate: object) -> None:
    """Raises InvalidInput unless the rate is a positive number."""
    if not isinstance(rate, int | float):
        raise InvalidInput(f"{type(owner).__name__}: rate must be a number; the rule lowers it by itself")
    positive(owner, rate=rate)


Dense = SGD | Momentum | AdaGrad | RMSProp | Adam | FTRL
