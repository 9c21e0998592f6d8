"""A learning rate at work: which step it is, and where a rate that is set by evaluation stands."""

from collections.abc import Mapping
from dataclasses import astuple

import numpy as np
import numpy.typing as npt

from martlet.learn.optimizers import OnPlateau, PlateauState, Rate, rate_at


class LearningRate:
    """The rate of the next step; moved on once for each step taken.

    Attributes:
        steps: steps taken.
    """

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._plateau = PlateauState()
        self.steps = 0

    @property
    def current(self) -> float:
        """The rate of the next step."""
        if isinstance(self._rate, OnPlateau):
            return self._plateau.scale * rate_at(self._rate.rate, self.steps)
        return rate_at(self._rate, self.steps)

    def advance(self, loss: float) -> None:
        """A step was taken; `loss` is the mean loss of its batch before it."""
        self.steps += 1
        if isinstance(self._rate, OnPlateau):
            self._plateau = self._rate.observe(self._plateau, loss)

    def state(self) -> dict[str, npt.NDArray[np.generic]]:
        """Step and evaluation."""
        return {"steps": np.array(self.steps, np.int64), "plateau": np.array(astuple(self._plateau), np.float64)}

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Takes a state over, bit for bit."""
        self.steps = int(np.asarray(state["steps"], np.int64))
        scale, best, worse, total, batches = (float(number) for number in np.asarray(state["plateau"], np.float64))
        self._plateau = PlateauState(scale, best, int(worse), total, int(batches))
