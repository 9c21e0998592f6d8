"""The Page-Hinkley test for a change of a mean.

E. S. Page, Continuous inspection schemes, Biometrika 41, 1954; with the fading sums of river 0.26, to whose alarms
these are equal. With the running mean x̄_t of the numbers x_t, the tolerance δ and the fading factor α:

    u_t = α u_{t-1} + x_t - x̄_t - δ,    alarm when u_t - min u > λ    (the mean went up)
    d_t = α d_{t-1} + x_t - x̄_t + δ,    alarm when max d - d_t > λ    (the mean went down)

Behind an alarm everything begins anew.
"""  # noqa: RUF002

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from trainer_svc.drift.detector import Alarms, Arrays, Doubles
from trainer_svc.table.compiling import kernel

# count, mean, u, its least, d, its most, whether the last number was an alarm
_FRESH: Final = (0.0, 0.0, 0.0, np.inf, 0.0, -1.0, 0.0)


class PageHinkley:
    """See the module's docstring. Not thread-safe.

    Args:
        threshold: λ.
        delta: δ, how much of a change is borne.
        alpha: α.
        least: numbers before the first alarm.
    """  # noqa: RUF002

    def __init__(
        self, threshold: float = 50.0, delta: float = 0.005, alpha: float = 1 - 0.0001, least: int = 30
    ) -> None:
        self._settings = np.array([threshold, delta, alpha, least], np.float64)
        self._memory = np.array(_FRESH, np.float64)

    def update(self, values: Doubles, /) -> Alarms:
        """See `Detector`."""
        alarms = np.zeros(values.shape[0], np.int8)
        _update(values, alarms, self._memory, self._settings)
        return alarms

    def state(self) -> Arrays:
        """The sums."""
        return {"memory": self._memory}

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]], /) -> None:
        """Takes a state over."""
        self._memory = np.array(state["memory"], np.float64)


@kernel
def _update(values: Doubles, alarms: Alarms, memory: Doubles, settings: Doubles) -> None:
    threshold, delta, alpha, least = settings[0], settings[1], settings[2], settings[3]
    count, mean, up, lowest, down, highest, alarmed = (
        memory[0], memory[1], memory[2], memory[3], memory[4], memory[5], memory[6] > 0,
    )  # fmt: skip
    for i in range(values.shape[0]):
        if alarmed:
            count, mean, up, lowest, down, highest = 0.0, 0.0, 0.0, np.inf, 0.0, -1.0
        count += 1.0
        mean += (1.0 / count) * (values[i] - mean)
        deviation = values[i] - mean
        up = alpha * up + deviation - delta
        down = alpha * down + deviation + delta
        lowest, highest = min(lowest, up), max(highest, down)
        alarmed = count >= least and (up - lowest > threshold or highest - down > threshold)
        if alarmed:
            alarms[i] = 1 if up - lowest > threshold else -1
    memory[0], memory[1], memory[2], memory[3], memory[4], memory[5], memory[6] = (
        count, mean, up, lowest, down, highest, alarmed,
    )  # fmt: skip
