"""Detectors for a lane that never ends.

An e-process that was started long ago detects slowly: its wealth fell while all was well. A sum over all starting times
(Shiryaev-Roberts) keeps the delay flat: "E-detectors" (Shin, Ramdas, Rinaldo, 2023). Under H0 the expected number of
units until a false alarm is at least A.

Sums are kept as plain products, not as logarithms: additions and multiplications alone are the same bits on every
machine. A sum cannot vanish, for each unit adds its weight first, and it is capped where it would overflow.
"""

from dataclasses import dataclass, field
from math import inf, log

import numpy as np

STAKES = tuple(float(stake) for stake in np.geomspace(0.01, 0.9, 7))
"""The mixture's stakes, as shares of a unit's bound."""

LARGEST = 1e300


def nothing() -> list[float]:
    """A sum for each stake: float[7]."""
    return [0.0] * len(STAKES)


@dataclass(slots=True)
class EDetector:
    """Alarms when the mean of x has risen above 0. Not thread-safe; deterministic in the order of units.

    Attributes:
        bound: |x| is at most this.
        units_to_false_alarm: A, in units of weight 1.
        sums: of wealths over starting times, one for each stake.
    """

    bound: float
    units_to_false_alarm: float
    sums: list[float] = field(default_factory=nothing)

    @property
    def log_evidence(self) -> float:
        """Log of the averaged sums; about log(units) while all is well."""
        total = sum(self.sums)
        return log(total / len(STAKES)) if total > 0 else -inf

    @property
    def threshold(self) -> float:
        """Log evidence at which it alarms."""
        return log(self.units_to_false_alarm)

    @property
    def crossed(self) -> bool:
        """Whether it alarms now; whoever needs a latch keeps one."""
        return sum(self.sums) >= self.units_to_false_alarm * len(STAKES)

    def update(self, x: float, bound: float | None = None, weight: float = 1.0) -> bool:
        """One unit, |x| <= bound (this unit's own, fixed by the past, if given). Returns whether it alarms.

        `weight` is how much of a whole unit it is: starting times are weighted by it, so that A counts what whole
        units would and many small ones bring no earlier false alarm.
        """
        share = x / (self.bound if bound is None else min(bound, self.bound))
        self.sums = [
            min((total + weight) * (1.0 + stake * share), LARGEST)
            for total, stake in zip(self.sums, STAKES, strict=True)
        ]
        return self.crossed

    def reset(self) -> None:
        """Starts anew: what it compared with has changed."""
        self.sums = nothing()


def ones() -> list[float]:
    """A maximum for each stake: float[7]."""
    return [1.0] * len(STAKES)


@dataclass(slots=True)
class ECusum:
    """The warning level for the ramp: like the detector, but only the best starting time counts.

    Never ramp on the detector itself: while all is well it grows like the number of units.
    """

    bound: float
    maxima: list[float] = field(default_factory=ones)

    def update(self, x: float, bound: float | None = None) -> float:
        """One unit; returns the log evidence."""
        share = x / (self.bound if bound is None else min(bound, self.bound))
        self.maxima = [
            min(max(best, 1.0) * (1.0 + stake * share), LARGEST)
            for best, stake in zip(self.maxima, STAKES, strict=True)
        ]
        return self.log_evidence

    @property
    def log_evidence(self) -> float:
        """Log of the averaged maxima."""
        return log(sum(self.maxima) / len(STAKES))
