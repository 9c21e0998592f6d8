"""ADWIN: a window that holds as many of the last numbers as seem to have one mean.

A. Bifet, R. Gavaldà, Learning from time-changing data with adaptive windowing, SDM 2007 (ADWIN2), with the cut of
river 0.26, to whose alarms these are equal. The window is kept as sums of 2^l numbers (an exponential histogram), at
most `buckets` + 1 of each size, with their variances (Babcock et al., PODS 2003). Every `clock` numbers each border
between two sums is tried: with n0 and n1 numbers before and behind it, W = n0 + n1, the window's variance σ², the least
length L of a side and δ' = ln(2 ln W / δ),

    m = 1 / (n0 - L + 1) + 1 / (n1 - L + 1),    ε = √(2 m σ² δ') + (2/3) δ' m,

the oldest sum goes while the means of some two sides differ by more than ε. The bound is for numbers in [0, 1]. After
an alarm the window begins anew, as river's does.
"""

import math
from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from trainer_svc.drift.detector import Alarms, Arrays, Doubles
from trainer_svc.table.compiling import kernel

_SIZES: Final = 48
# What of the bound may be lost by computing it in another order; beyond it, it is computed as river does.
_SAFE: Final = 1 - 1e-6


class Adwin:
    """See the module's docstring. Not thread-safe. Numbers should lie in [0, 1].

    Args:
        delta: δ, about the chance of an alarm without a change, at one border.
        clock: borders are tried after so many numbers.
        buckets: sums of each size.
        least: L, the least length of a side.
        grace: numbers before borders are tried.
    """

    def __init__(
        self, delta: float = 0.002, clock: int = 32, buckets: int = 5, least: int = 5, grace: int = 10
    ) -> None:
        self._settings = np.array([delta, clock, least, grace], np.float64)
        self._totals = np.zeros((_SIZES, buckets + 1), np.float64)
        self._variances = np.zeros((_SIZES, buckets + 1), np.float64)
        self._counts = np.zeros(_SIZES, np.int64)
        self._sums = np.zeros(3, np.float64)  # total, variance (of all together), width
        self._ticks = np.zeros(3, np.int64)  # numbers since the beginning, sizes in use, whether the last was an alarm

    @property
    def width(self) -> int:
        """Numbers in the window."""
        return int(self._sums[2])

    def update(self, values: Doubles, /) -> Alarms:
        """See `Detector`."""
        alarms = np.zeros(values.shape[0], np.int8)
        _update(values, alarms, self._totals, self._variances, self._counts, self._sums, self._ticks, self._settings)
        return alarms

    def state(self) -> Arrays:
        """The window."""
        return {
            "totals": self._totals,
            "variances": self._variances,
            "counts": self._counts,
            "sums": self._sums,
            "ticks": self._ticks,
        }

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]], /) -> None:
        """Takes a state over."""
        for name, array in self.state().items():
            np.copyto(array, state[name])


@kernel
def _update(
    values: Doubles,
    alarms: Alarms,
    totals: Doubles,
    variances: Doubles,
    counts: npt.NDArray[np.int64],
    sums: Doubles,
    ticks: npt.NDArray[np.int64],
    settings: Doubles,
) -> None:
    clock, grace, full = np.int64(settings[1]), settings[3], totals.shape[1]
    total, variance, width = sums[0], sums[1], sums[2]
    tick, alarmed = ticks[0], ticks[2] > 0
    for i in range(values.shape[0]):
        if alarmed:
            totals[:], variances[:], counts[:] = 0.0, 0.0, 0
            total, variance, width, tick, ticks[1] = 0.0, 0.0, 0.0, 0, 0
            alarmed = False
        value, place = values[i], counts[0]
        totals[0, place] = value
        variances[0, place] = 0.0
        counts[0] = place + 1
        width += 1.0
        if width > 1.0:
            distance = value - total / (width - 1.0)
            variance += (width - 1.0) * distance * distance / width
        total += value
        if place + 1 == full:
            _merge(totals, variances, counts)
        tick += 1
        if tick % clock == 0 and width > grace:
            sums[0], sums[1], sums[2] = total, variance, width
            if _shrink(totals, variances, counts, sums, settings):
                alarmed = True
                alarms[i] = 1 if sums[0] / sums[2] >= total / width else -1
            total, variance, width = sums[0], sums[1], sums[2]
    sums[0], sums[1], sums[2] = total, variance, width
    ticks[0], ticks[2] = tick, alarmed


@kernel
def _merge(totals: Doubles, variances: Doubles, counts: npt.NDArray[np.int64]) -> None:
    """The two oldest of `full` sums become one of the next size, and so on."""
    full, size, numbers = totals.shape[1], 0, 1.0
    while counts[size] == full:
        one, other = totals[size, 0], totals[size, 1]
        apart = one / numbers - other / numbers
        place = counts[size + 1]
        totals[size + 1, place] = one + other
        variances[size + 1, place] = variances[size, 0] + variances[size, 1] + numbers * 0.5 * apart * apart
        counts[size + 1] = place + 1
        for k in range(full - 2):
            totals[size, k], variances[size, k] = totals[size, k + 2], variances[size, k + 2]
        counts[size] = full - 2
        size += 1
        numbers *= 2.0


@kernel
def _shrink(
    totals: Doubles, variances: Doubles, counts: npt.NDArray[np.int64], sums: Doubles, settings: Doubles
) -> bool:
    """Drops the oldest sums while two sides differ; says whether it dropped one."""
    dropped = False
    while _differs(totals, counts, sums, settings):
        dropped = True
        _drop(totals, variances, counts, sums)
    return dropped


@kernel
def _largest(counts: npt.NDArray[np.int64]) -> int:
    """The largest size of which there is a sum."""
    size = counts.shape[0] - 1
    while size > 0 and counts[size] == 0:
        size -= 1
    return int(size)


@kernel
def _drop(totals: Doubles, variances: Doubles, counts: npt.NDArray[np.int64], sums: Doubles) -> None:
    size = _largest(counts)
    numbers = float(1 << size)
    mean = totals[size, 0] / numbers
    sums[2] -= numbers
    sums[0] -= totals[size, 0]
    apart = mean - sums[0] / sums[2]
    sums[1] -= variances[size, 0] + numbers * sums[2] * apart * apart / (numbers + sums[2])
    for k in range(counts[size] - 1):
        totals[size, k], variances[size, k] = totals[size, k + 1], variances[size, k + 1]
    counts[size] -= 1


@kernel
def _differs(totals: Doubles, counts: npt.NDArray[np.int64], sums: Doubles, settings: Doubles) -> bool:
    """Whether the means differ at some border."""
    least, width, total = settings[2], sums[2], sums[0]
    spread = sums[1] / width
    chance = math.log(2.0 * math.log(width) / settings[0])
    # ε² > 2 m σ² δ'; multiplied by (n0 n1)² (n0 - L + 1)(n1 - L + 1) there is no division and no root.
    sure = 2.0 * spread * chance * (width - 2.0 * least + 2.0) * _SAFE
    if spread * 1e8 < (total / width) ** 2:  # rounding could decide
        sure = -1.0
    before, behind, old, new = 0.0, width, 0.0, total
    for size in range(_largest(counts), -1, -1):
        numbers, count = float(1 << size), counts[size]
        if size == 0:
            count -= 1
        for k in range(count):
            before += numbers
            behind -= numbers
            old += totals[size, k]
            new -= totals[size, k]
            if behind < least or before < least:
                continue
            both = before * behind
            gap = old * behind - new * before
            if gap * gap * (before - least + 1.0) * (behind - least + 1.0) < sure * both * both:
                continue
            m = 1.0 / (before - least + 1.0) + 1.0 / (behind - least + 1.0)
            epsilon = math.sqrt(2.0 * m * spread * chance) + 2.0 / 3.0 * chance * m
            if abs(old / before - new / behind) > epsilon:
                return True
    return False
