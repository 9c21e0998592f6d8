"""Fine-tuning: a version's state learns a recent window once more, at a low rate. Joiner and account stay."""

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from martlet.learn import Model
from martlet.learn.optimizers import FTRL, Dense, OnPlateau, Rate, RowFTRL, Rows, Schedule, rate_at
from trainer_svc.example_batch import batch_of
from trainer_svc.labelled_rows import LabelledRows, count, in_batches
from trainer_svc.learner import Learner
from trainer_svc.training_ports import Arrays

LEARNER = "learner/"


@dataclass(frozen=True, slots=True)
class Share:
    """A share of another rate.

    >>> Share(0.5, 0.1).at(3)
    0.05
    """

    share: float
    rate: float | Schedule

    def at(self, step: int) -> float:
        """Share · rate."""
        return self.share * rate_at(self.rate, step)


def slowed(model: Model, share: float) -> Model:
    """The model with its learning rates multiplied."""
    slow = copy.copy(model)
    slow.dense = _slowed_dense(model.dense, share)
    slow.rows = _slowed_rows(model.rows, share)
    return slow


def fine_tuned(
    learner: Learner, state: Mapping[str, npt.NDArray[np.generic]], window: Iterable[list[LabelledRows]], most: int
) -> tuple[Arrays, int]:
    """A training state whose learner has learned the window on top, and how many examples that were.

    Args:
        learner: a fresh one, with slowed rates.
        state: the training state.
        window: examples, by steps.
        most: examples of one batch.
    """
    learner.restore(part_of(state, LEARNER))
    examples = 0
    for step in window:
        for batch in in_batches(step, most):
            latest_us = max(group.prediction.time_us for group in batch)
            learner.learn(batch_of(batch, learner.spec.layout), latest_us)
            examples += count(batch)
    return with_learner(state, learner), examples


def with_learner(state: Mapping[str, npt.NDArray[np.generic]], learner: Learner) -> Arrays:
    """A training state with another learner's state in it; copies of nothing."""
    rest = {name: array for name, array in state.items() if not name.startswith(LEARNER)}
    return rest | {LEARNER + name: array for name, array in learner.state().items()}


def part_of(state: Mapping[str, npt.NDArray[np.generic]], prefix: str) -> Arrays:
    """The arrays under a prefix, by the rest of their names."""
    return {name.removeprefix(prefix): array for name, array in state.items() if name.startswith(prefix)}


def _slowed_dense(rule: Dense, share: float) -> Dense:
    if isinstance(rule, FTRL):  # its rate is a number
        return replace(rule, rate=share * rule.rate)
    return replace(rule, rate=_slowed(rule.rate, share))


def _slowed_rows(rule: Rows, share: float) -> Rows:
    if isinstance(rule, RowFTRL):
        return replace(rule, rate=share * rule.rate)
    return replace(rule, rate=_slowed(rule.rate, share))


def _slowed(rate: Rate, share: float) -> Rate:
    if isinstance(rate, OnPlateau):
        return replace(rate, rate=Share(share, rate.rate))
    return Share(share, rate)
