"""KSWIN: whether the last numbers are distributed as those before them.

C. Raab, M. Heusinger, F.-M. Schleif, Reactive soft prototype computing for concept drift streams, Neurocomputing 416,
2020. Of a window of `window` numbers the last r are compared with r drawn from the others, by the two-sample
Kolmogorov-Smirnov test, whose exact p-value for equal sizes and a distance h / r is (Gnedenko, Korolyuk 1951)

    p = 2 Σ_{k≥1} (-1)^{k+1} C(2r, r - kh) / C(2r, r).

An alarm is p ≤ α and a distance above 0.1; then everything begins anew. Draws and alarms are equal to those of
river 0.26, whose scipy computes the same p.
"""  # noqa: RUF002

from collections.abc import Mapping
from fractions import Fraction
from math import comb
from typing import Final

import numpy as np
import numpy.typing as npt

from martlet.errors import InvalidInput
from trainer_svc.drift.detector import Alarms, Arrays, Doubles
from trainer_svc.drift.mersenne_twister import Words, pool_limit, sample, seeded
from trainer_svc.table.compiling import kernel

_LEAST_DISTANCE: Final = 0.1


class Kswin:
    """See the module's docstring. Not thread-safe.

    Args:
        alpha: α.
        window: numbers remembered.
        stat: r.
        seed: of the draws.

    Raises:
        InvalidInput: the window is too short to draw from.
    """  # noqa: RUF002

    def __init__(self, alpha: float = 0.005, window: int = 100, stat: int = 30, seed: int = 1) -> None:
        if window < 2 * stat:
            raise InvalidInput(f"a KSWIN window of {window} is too short to draw {stat} from: it must be twice as long")
        self._settings = np.array([stat, critical_distance(stat, alpha), pool_limit(stat)], np.int64)
        self._fresh = seeded(seed)
        self._words = self._fresh.copy()
        self._window = np.zeros(window, np.float64)  # a ring
        self._ticks = np.zeros(2, np.int64)  # numbers since the beginning, whether the last was an alarm

    def update(self, values: Doubles, /) -> Alarms:
        """See `Detector`."""
        alarms = np.zeros(values.shape[0], np.int8)
        _update(values, alarms, self._window, self._ticks, self._words, self._fresh, self._settings)
        return alarms

    def state(self) -> Arrays:
        """Window and random numbers."""
        return {"window": self._window, "ticks": self._ticks, "words": self._words}

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]], /) -> None:
        """Takes a state over."""
        for name, array in self.state().items():
            np.copyto(array, state[name])


def p_value(size: int, distance: int) -> Fraction:
    """The chance that two samples of `size` numbers of one distribution are `distance` / size apart, or more."""
    if distance <= 0:
        return Fraction(1)
    terms = ((-1) ** (k + 1) * comb(2 * size, size - k * distance) for k in range(1, size // distance + 1))
    return Fraction(2 * sum(terms), comb(2 * size, size))


def critical_distance(size: int, alpha: float) -> int:
    """The least distance (times `size`) that is an alarm; size + 1 if there is none."""
    distance = int(_LEAST_DISTANCE * size)
    while distance <= size and (distance / size <= _LEAST_DISTANCE or p_value(size, distance) > alpha):
        distance += 1
    return distance


@kernel
def _update(
    values: Doubles,
    alarms: Alarms,
    window: Doubles,
    ticks: npt.NDArray[np.int64],
    words: Words,
    fresh: Words,
    settings: npt.NDArray[np.int64],
) -> None:
    stat, critical, limit, length = settings[0], settings[1], settings[2], window.shape[0]
    chosen, pool = np.empty(stat, np.int64), np.empty(length, np.int64)
    drawn, recent = np.empty(stat), np.empty(stat)
    for i in range(values.shape[0]):
        if ticks[1]:
            ticks[0], ticks[1] = 0, 0
            words[:] = fresh
        window[ticks[0] % length] = values[i]
        ticks[0] += 1
        if ticks[0] < length:
            continue
        sample(words, length - stat, pool, limit, chosen)
        for k in range(stat):
            drawn[k] = window[(ticks[0] + chosen[k]) % length]
            recent[k] = window[(ticks[0] + length - stat + k) % length]
        if _distance(drawn, recent) >= critical:
            alarms[i] = 1 if recent.sum() >= drawn.sum() else -1
            ticks[1] = 1


@kernel
def _distance(one: Doubles, other: Doubles) -> int:
    """The largest difference of the counts of numbers up to any x. Sorts both."""
    one.sort()
    other.sort()
    size, i, j, most = one.shape[0], 0, 0, 0
    while i < size and j < size:
        x = min(one[i], other[j])
        while i < size and one[i] == x:
            i += 1
        while j < size and other[j] == x:
            j += 1
        most = max(most, abs(i - j))
    return most
