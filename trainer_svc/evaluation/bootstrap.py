"""Intervals by resampling users: what one user does is not independent, and rows by themselves would look surer."""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

LEVEL: Final = 0.95
_ENOUGH: Final = 0.9  # of the draws must give a figure, or the interval would leave out the unlucky ones

Counts = npt.NDArray[np.float64]
Figures = Mapping[str, float]


class Figure(msgspec.Struct, frozen=True):
    """A figure with a 95 % interval; None where there is none."""

    value: float | None
    low: float | None = None
    high: float | None = None


def draws_of_users(users: int, draws: int, seed: int) -> Iterator[Counts]:
    """How often each user is drawn, float64[users], for each of the draws with replacement (Efron 1979)."""
    random = np.random.default_rng(seed)
    for _ in range(draws):
        yield np.bincount(random.integers(0, users, users), minlength=users).astype(np.float64)


def with_intervals(figures: Callable[[Counts | None], Figures], users: int, draws: int, seed: int) -> dict[str, Figure]:
    """Figures of all rows, each with the percentile interval over the draws.

    `figures` gets how often each user counts, None for once each, and names the same figures each time.
    """
    point = figures(None)
    drawn: dict[str, list[float]] = {name: [] for name in point}
    if users > 1:
        for counts in draws_of_users(users, draws, seed):
            for name, value in figures(counts).items():
                drawn[name].append(value)
    return {name: _figure(value, np.array(drawn[name])) for name, value in point.items()}


def finite(value: float) -> float | None:
    """JSON has no NaN."""
    return float(value) if math.isfinite(value) else None


def _figure(value: float, drawn: Counts) -> Figure:
    held = drawn[np.isfinite(drawn)]
    if not math.isfinite(value) or held.shape[0] < max(2.0, _ENOUGH * drawn.shape[0]):
        return Figure(finite(value))
    outside = (1.0 - LEVEL) / 2.0
    low, high = np.quantile(held, [outside, 1.0 - outside])
    return Figure(float(value), float(low), float(high))
