"""Quantiles of a stream of numbers, for several columns at once, in arrays of one size.

DDSketch (C. Masson, J. Rim, H. Lee, VLDB 2019): numbers are counted in bins whose borders grow by the factor
γ = (1 + a) / (1 - a), so that each quantile is known within the relative error a. Here the bins are fixed (they reach
from 1e-6 to about 1.4e6; what lies beyond is counted at the end), and older numbers may fade: a number that came h
numbers of `memory` ago counts half (forward decay: G. Cormode et al., ICDE 2009).
"""  # noqa: RUF002

import math
from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

Arrays = dict[str, npt.NDArray[np.generic]]
Doubles = npt.NDArray[np.float64]

ERROR: Final = 0.01
LEAST: Final = 1e-6
BINS: Final = 1400
_LOG: Final = math.log((1 + ERROR) / (1 - ERROR))
_HEAVY: Final = 1e100
_ROUNDED: Final = 1 - 1e-12


class QuantileSketch:
    """See the module's docstring. Not thread-safe.

    Args:
        columns: how many numbers a row has.
        memory: rows after which one counts half; 0: all count alike.
    """

    def __init__(self, columns: int, memory: int = 0) -> None:
        self._counts = np.zeros((columns, 2 * BINS + 1), np.float64)  # negative ones, zero, positive ones
        self._memory = memory
        self._weight = 1.0

    def add(self, numbers: npt.NDArray[np.floating], at: slice | None = None) -> None:
        """Takes rows of numbers in, [n, columns]; NaN is passed over. `at`: the columns that they are of."""
        place = at or slice(0, self._counts.shape[0])
        counts = self._counts[place]
        known = ~np.isnan(numbers)
        bins = _bins_of(np.where(known, numbers, 0.0)) + np.arange(numbers.shape[1]) * counts.shape[1]
        added = np.bincount(bins[known], minlength=counts.size).reshape(counts.shape)
        self._counts[place] += added * self._weight

    def age(self, rows: int) -> None:
        """So many rows came: what came before them counts less."""
        if not self._memory:
            return
        self._weight *= 2.0 ** (rows / self._memory)
        if self._weight > _HEAVY:
            self._counts /= self._weight
            self._weight = 1.0

    def quantiles(self, shares: npt.NDArray[np.floating]) -> Doubles:
        """Of each column the number below which a share lies: float64[columns, shares]; NaN where there is none."""
        sums = self._counts.cumsum(1)
        found = np.empty((sums.shape[0], shares.shape[0]))
        for column in range(sums.shape[0]):
            total = sums[column, -1]
            below = shares * total * _ROUNDED  # a sum that is reached but for rounding is reached
            found[column] = _middle(np.searchsorted(sums[column], below)) if total else np.nan
        return found

    def state(self) -> Arrays:
        """Counts and weight (not copies)."""
        return {"counts": self._counts, "weight": np.array(self._weight, np.float64)}

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Takes a state over (copies)."""
        self._counts = np.array(state["counts"], np.float64)
        self._weight = float(np.asarray(state["weight"], np.float64))


def _bins_of(numbers: npt.NDArray[np.floating]) -> npt.NDArray[np.int64]:
    size = np.abs(numbers)
    with np.errstate(divide="ignore"):
        bins = np.ceil(np.log(size / LEAST) / _LOG)
    bins = np.where(size < LEAST, 0, bins.clip(1, BINS)).astype(np.int64)
    return np.asarray(BINS + np.sign(numbers).astype(np.int64) * bins, np.int64)


def _middle(bins: npt.NDArray[np.int64]) -> Doubles:
    """The number of a bin that is within the relative error of all of it."""
    steps = np.abs(bins - BINS)
    size = LEAST * np.exp(steps * _LOG) * (1 - ERROR)
    return np.asarray(np.where(steps == 0, 0.0, np.sign(bins - BINS) * size), np.float64)
