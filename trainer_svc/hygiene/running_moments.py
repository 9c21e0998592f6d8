"""Means and deviations of several columns of numbers, whose older rows fade."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

Arrays = dict[str, npt.NDArray[np.generic]]
Doubles = npt.NDArray[np.float64]


class RunningMoments:
    """Weighted sums (T. Chan, G. Golub, R. LeVeque, The American Statistician 37, 1983). Not thread-safe.

    Args:
        memory: rows after which one counts half; 0: all count alike.
    """

    def __init__(self, columns: int, memory: int = 0) -> None:
        self._memory = memory
        self._sums = np.zeros((3, columns), np.float64)  # count, mean, sum of squared distances

    @property
    def count(self) -> Doubles:
        """How many numbers count, float64[columns]."""
        return np.asarray(self._sums[0], np.float64)

    @property
    def mean(self) -> Doubles:
        """Means, float64[columns]; 0 where there is no number."""
        return np.asarray(self._sums[1], np.float64)

    @property
    def deviation(self) -> Doubles:
        """Standard deviations, float64[columns]."""
        return np.asarray(np.sqrt(self._sums[2] / np.maximum(self._sums[0], 1e-12)), np.float64)

    def add(self, numbers: npt.NDArray[np.floating], at: slice) -> None:
        """Takes rows in, [n, columns of `at`]; NaN is passed over."""
        known = ~np.isnan(numbers)
        count = known.sum(0).astype(np.float64)
        values = np.where(known, numbers, 0.0).astype(np.float64)
        mean = values.sum(0) / np.maximum(count, 1.0)
        squares = (np.where(known, values - mean, 0.0) ** 2).sum(0)
        old_count, old_mean, old_squares = (row[at] for row in self._sums)
        total = np.maximum(old_count + count, 1e-12)
        apart = mean - old_mean
        self._sums[2, at] = old_squares + squares + apart**2 * old_count * count / total
        self._sums[1, at] = old_mean + apart * count / total
        self._sums[0, at] = old_count + count

    def age(self, rows: int) -> None:
        """So many rows came: what came before them counts less."""
        if self._memory:
            fading = 2.0 ** (-rows / self._memory)
            self._sums[0] *= fading
            self._sums[2] *= fading

    def state(self) -> Arrays:
        """The sums (not a copy)."""
        return {"sums": self._sums}

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Takes a state over (copies)."""
        self._sums = np.array(state["sums"], np.float64)
