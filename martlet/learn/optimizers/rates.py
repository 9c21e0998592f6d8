"""Learning rates: a number, a function of the step, or one that falls when the loss stops falling.

A step is one learned batch; the first is step 0. Batches that were skipped do not count.
"""

import math
from dataclasses import dataclass, replace
from typing import Protocol

from martlet.errors import InvalidInput
from martlet.learn.optimizers.checks import not_negative, positive


class Schedule(Protocol):
    """A learning rate as a pure function of the step. Implement it to have a schedule of your own."""

    def at(self, step: int) -> float:
        """The rate of a step, above 0."""
        ...


@dataclass(frozen=True, slots=True)
class StepDecay:
    """`rate`, times `factor` after every `every` steps.

    >>> StepDecay(0.1, every=100, factor=0.5).at(250)
    0.025
    """

    rate: float
    every: int
    factor: float = 0.1

    def __post_init__(self) -> None:
        positive(self, rate=self.rate, every=self.every, factor=self.factor)

    def at(self, step: int) -> float:
        """Rate · factor^⌊step / every⌋."""
        return float(self.rate * self.factor ** (step // self.every))


@dataclass(frozen=True, slots=True)
class Exponential:
    """A smooth fall from `rate` by `factor` in each `every` steps, never below `floor`.

    A stream has no end: without a floor the learner would at last not learn any more.
    """

    rate: float
    factor: float
    every: int = 1
    floor: float = 0.0

    def __post_init__(self) -> None:
        positive(self, rate=self.rate, factor=self.factor, every=self.every)
        not_negative(self, floor=self.floor)

    def at(self, step: int) -> float:
        """max(floor, rate · factor^(step / every))."""
        return max(self.floor, float(self.rate * self.factor ** (step / self.every)))


@dataclass(frozen=True, slots=True)
class Cosine:
    """From `rate` to `floor` along half a cosine in `steps` steps (Loshchilov, Hutter 2017); `floor` from then on."""

    rate: float
    steps: int
    floor: float

    def __post_init__(self) -> None:
        positive(self, rate=self.rate, steps=self.steps, floor=self.floor)

    def at(self, step: int) -> float:
        """Floor + (rate - floor) · (1 + cos(π · min(step / steps, 1))) / 2."""
        turn = math.pi * min(step / self.steps, 1.0)
        return self.floor + (self.rate - self.floor) * (1.0 + math.cos(turn)) / 2.0


@dataclass(frozen=True, slots=True)
class WarmUp:
    """Rises in equal parts to what `then` says over the first `steps` steps (Goyal et al. 2017); then is `then`.

    >>> WarmUp(4, then=0.1).at(0), WarmUp(4, then=0.1).at(9)
    (0.025, 0.1)
    """

    steps: int
    then: float | Schedule

    def __post_init__(self) -> None:
        positive(self, steps=self.steps)
        check_schedule(self, self.then)

    def at(self, step: int) -> float:
        """min(1, (step + 1) / steps) times the rate of `then`."""
        return min(1.0, (step + 1) / self.steps) * rate_at(self.then, step)


@dataclass(frozen=True, slots=True)
class PlateauState:
    """Where an `OnPlateau` stands.

    Attributes:
        scale: what its rate is multiplied with.
        best: the lowest mean loss of an evaluation so far.
        worse: evaluations in a row that were not better.
        total: sum of the losses of the evaluation under way.
        batches: how many they are.
    """

    scale: float = 1.0
    best: float = math.inf
    worse: int = 0
    total: float = 0.0
    batches: int = 0


@dataclass(frozen=True, slots=True)
class OnPlateau:
    """The rate set by evaluation: it falls by `factor` when the prequential loss has not fallen for a while.

    An evaluation is the mean loss of `window` batches, each taken before the batch was learned. One is better if it
    lies below (1 - gain) · best. After `patience` in a row that were not, the rate falls, and the comparison begins
    anew from the loss as it is then, for what a stream asks changes: the best of last month may never come back.

    Attributes:
        rate: the rate that is multiplied with the scale so far.
        floor: the scale never falls below it.
    """

    rate: float | Schedule
    factor: float = 0.5
    patience: int = 5
    window: int = 100
    gain: float = 1e-3
    floor: float = 0.01

    def __post_init__(self) -> None:
        check_schedule(self, self.rate)
        positive(self, patience=self.patience, window=self.window, factor=self.factor, floor=self.floor)
        not_negative(self, gain=self.gain)
        if self.factor >= 1:
            raise InvalidInput(f"OnPlateau: factor must be below 1, not {self.factor}")

    def observe(self, state: PlateauState, loss: float) -> PlateauState:
        """The state after one more batch of this mean loss. Pure; a loss that is not finite counts for nothing."""
        if not math.isfinite(loss):
            return state
        state = replace(state, total=state.total + loss, batches=state.batches + 1)
        if state.batches < self.window:
            return state
        mean = state.total / state.batches
        state = replace(state, total=0.0, batches=0)
        if mean < state.best * (1 - self.gain) or math.isinf(state.best):
            return replace(state, best=mean, worse=0)
        if state.worse + 1 < self.patience:
            return replace(state, worse=state.worse + 1)
        return replace(state, scale=max(self.floor, state.scale * self.factor), best=mean, worse=0)


Rate = float | Schedule | OnPlateau


def rate_at(rate: float | Schedule, step: int) -> float:
    """The rate of a step."""
    return rate if isinstance(rate, int | float) else rate.at(step)


def check_rate(owner: object, rate: Rate) -> None:
    """Raises InvalidInput for what is no rate."""
    if not isinstance(rate, OnPlateau):
        check_schedule(owner, rate)


def check_schedule(owner: object, rate: float | Schedule) -> None:
    """Raises InvalidInput for what is neither a positive number nor a function of the step."""
    if isinstance(rate, OnPlateau):
        raise InvalidInput(f"{type(owner).__name__}: OnPlateau stands outside of other schedules, not inside")
    if not isinstance(rate, int | float) and not hasattr(rate, "at"):
        raise InvalidInput(f"{type(owner).__name__}: rate must be a number or a schedule, not {rate!r}")
    positive(owner, rate=rate_at(rate, 0))
