"""Detectors for a lane that never ends.

An e-process that was started long ago detects slowly: its wealth fell while all was well. A sum over all starting times
(Shiryaev-Roberts) keeps the delay flat: "E-detectors" (Shin, Ramdas, Rinaldo, 2023). Under H0 the expected number of
units until a false alarm is at least A.
"""

from dataclasses import dataclass
from math import log

import numpy as np
import numpy.typing as npt

STAKES = 7


def stakes() -> npt.NDArray[np.float64]:
    """The mixture's stakes as shares of the bound: float64[7]."""
    return np.geomspace(0.01, 0.9, STAKES)


@dataclass(slots=True)
class EDetector:
    """Alarms when the mean of x has risen above 0. Not thread-safe; deterministic in the order of units.

    Attributes:
        bound: |x| is at most this.
        units_to_false_alarm: A, in units.
        log_sums: float64[7], one sum of wealths for each stake.
    """

    bound: float
    units_to_false_alarm: float
    log_sums: npt.NDArray[np.float64]

    @classmethod
    def of(cls, bound: float, units_to_false_alarm: float) -> "EDetector":
        """A fresh detector."""
        return cls(bound, units_to_false_alarm, np.full(STAKES, -np.inf))

    @property
    def log_evidence(self) -> float:
        """Log of the averaged sums; about log(units) while all is well."""
        return float(np.logaddexp.reduce(self.log_sums)) - log(STAKES)

    @property
    def threshold(self) -> float:
        """Log evidence at which it alarms."""
        return log(self.units_to_false_alarm)

    def update(self, x: float, bound: float | None = None) -> bool:
        """One unit, |x| <= bound (this unit's own, fixed by the past, if given). Returns whether it alarms."""
        limit = self.bound if bound is None else min(bound, self.bound)
        self.log_sums = np.logaddexp(0.0, self.log_sums) + np.log1p(stakes() / limit * x)
        return self.log_evidence >= self.threshold

    def reset(self) -> None:
        """Starts anew: what it compared with has changed."""
        self.log_sums = np.full(STAKES, -np.inf)


@dataclass(slots=True)
class ECusum:
    """The warning level for the ramp: like the detector, but only the best starting time counts.

    Never ramp on the detector itself: while all is well it grows like the number of units.
    """

    bound: float
    log_maxima: npt.NDArray[np.float64]

    @classmethod
    def of(cls, bound: float) -> "ECusum":
        """A fresh process."""
        return cls(bound, np.zeros(STAKES))

    def update(self, x: float, bound: float | None = None) -> float:
        """One unit; returns the log evidence."""
        limit = self.bound if bound is None else min(bound, self.bound)
        self.log_maxima = np.maximum(0.0, self.log_maxima) + np.log1p(stakes() / limit * x)
        return self.log_evidence

    @property
    def log_evidence(self) -> float:
        """Log of the averaged maxima."""
        return float(np.logaddexp.reduce(self.log_maxima)) - log(STAKES)
