"""The optimizers' formulas on flat vectors. Where they come from stands with their settings, in `martlet.learn`.

A rule owns its slots (the moments, accumulators, ... of every weight) and has one method: a step on a gradient that is
clipped and regularised already. It may overwrite the gradient.
"""

import math
from typing import Protocol, assert_never

import torch

from martlet.learn.optimizers import FTRL, SGD, AdaGrad, Adam, Dense, Momentum, RMSProp

Vector = torch.Tensor


class Rule(Protocol):
    """An optimizer's formula.

    Attributes:
        slots: its vectors, float32 of the weights' size, by name.
    """

    slots: dict[str, Vector]

    def step(self, weights: Vector, gradient: Vector, rate: float, number: int) -> None:
        """Moves the weights; `number` is 0 in the first step."""
        ...


class SGDRule:
    """See `martlet.learn.SGD`."""

    def __init__(self) -> None:
        self.slots: dict[str, Vector] = {}

    def step(self, weights: Vector, gradient: Vector, rate: float, _number: int) -> None:
        """One step."""
        weights.add_(gradient, alpha=-rate)


class MomentumRule:
    """See `martlet.learn.Momentum`."""

    def __init__(self, settings: Momentum, like: Vector) -> None:
        self._settings = settings
        self.slots = {"velocity": torch.zeros_like(like)}

    def step(self, weights: Vector, gradient: Vector, rate: float, _number: int) -> None:
        """One step."""
        velocity = self.slots["velocity"].mul_(self._settings.momentum).add_(gradient)
        if self._settings.nesterov:
            weights.add_(gradient.add_(velocity, alpha=self._settings.momentum), alpha=-rate)
        else:
            weights.add_(velocity, alpha=-rate)


class AdaGradRule:
    """See `martlet.learn.AdaGrad`."""

    def __init__(self, settings: AdaGrad, like: Vector) -> None:
        self._settings = settings
        self.slots = {"square": torch.zeros_like(like)}

    def step(self, weights: Vector, gradient: Vector, rate: float, _number: int) -> None:
        """One step."""
        square = self.slots["square"].addcmul_(gradient, gradient)
        weights.addcdiv_(gradient, square.sqrt().add_(self._settings.epsilon), value=-rate)


class RMSPropRule:
    """See `martlet.learn.RMSProp`."""

    def __init__(self, settings: RMSProp, like: Vector) -> None:
        self._settings = settings
        self.slots = {"square": torch.zeros_like(like)}

    def step(self, weights: Vector, gradient: Vector, rate: float, _number: int) -> None:
        """One step."""
        decay = self._settings.decay
        square = self.slots["square"].mul_(decay).addcmul_(gradient, gradient, value=1 - decay)
        weights.addcdiv_(gradient, square.sqrt().add_(self._settings.epsilon), value=-rate)


class AdamRule:
    """See `martlet.learn.Adam`."""

    def __init__(self, settings: Adam, like: Vector) -> None:
        self._settings = settings
        self.slots = {"mean": torch.zeros_like(like), "square": torch.zeros_like(like)}

    def step(self, weights: Vector, gradient: Vector, rate: float, number: int) -> None:
        """One step."""
        settings, t = self._settings, number + 1
        mean = self.slots["mean"].lerp_(gradient, 1 - settings.beta1)
        square = self.slots["square"].mul_(settings.beta2).addcmul_(gradient, gradient, value=1 - settings.beta2)
        deviation = square.sqrt().div_(math.sqrt(1 - settings.beta2**t)).add_(settings.epsilon)
        if settings.weight_decay:
            weights.mul_(1 - rate * settings.weight_decay)
        weights.addcdiv_(mean, deviation, value=-rate / (1 - settings.beta1**t))


class FTRLRule:
    """See `martlet.learn.FTRL`."""

    def __init__(self, settings: FTRL, like: Vector) -> None:
        self._settings = settings
        self.slots = {"z": torch.zeros_like(like), "n": torch.zeros_like(like)}

    def step(self, weights: Vector, gradient: Vector, rate: float, _number: int) -> None:
        """One step."""
        settings, z, n = self._settings, self.slots["z"], self.slots["n"]
        learned = n + gradient * gradient
        begun = learned > 0
        z.copy_(torch.where(n == 0, weights * -(settings.beta / rate + settings.l2), z))
        z.add_(gradient).sub_((learned.sqrt() - n.sqrt()).mul_(weights).div_(rate))
        n.copy_(learned)
        strength = n.sqrt().add_(settings.beta).div_(rate).add_(settings.l2)
        moved = torch.nn.functional.softshrink(z, settings.l1).div_(strength).neg_()
        weights.copy_(torch.where(begun, moved, weights))


def rule_of(settings: Dense, like: Vector) -> Rule:
    """The rule of these settings, for weights like these."""
    match settings:
        case SGD():
            return SGDRule()
        case Momentum():
            return MomentumRule(settings, like)
        case AdaGrad():
            return AdaGradRule(settings, like)
        case RMSProp():
            return RMSPropRule(settings, like)
        case Adam():
            return AdamRule(settings, like)
        case FTRL():
            return FTRLRule(settings, like)
        case _:
            assert_never(settings)
