"""How large a unit may be: a bound fixed by the past.

Bets are sized by the largest possible loss. Loss differences of two near versions are far smaller than the clipping
bound allows, and bets sized by that bound would be far too small. So a unit is clipped to four times the running root
mean square of *earlier* units; the guarantee is then for the mean of the clipped units.
"""

from dataclasses import dataclass
from math import sqrt


@dataclass(slots=True)
class RunningBound:
    """The clip for the next unit. Not thread-safe.

    Attributes:
        largest: no unit is ever allowed beyond this (natural units of the metric).
        multiple: how many running deviations are allowed.
        memory: weight of the past in the exponentially weighted mean square.
        mean_square: of earlier units; negative until the first.
    """

    largest: float
    multiple: float = 4.0
    memory: float = 0.98
    mean_square: float = -1.0

    @property
    def clip(self) -> float:
        """The bound for the next unit; known before it is seen."""
        if self.mean_square < 0:
            return self.largest
        return min(self.largest, max(self.multiple * sqrt(self.mean_square), 1e-9))

    def apply(self, unit: float) -> float:
        """The unit, clipped by the past; then the unit becomes part of the past."""
        clip = self.clip
        square = min(unit * unit, self.largest * self.largest)
        past = square if self.mean_square < 0 else self.mean_square
        self.mean_square = self.memory * past + (1.0 - self.memory) * square
        return min(max(unit, -clip), clip)
