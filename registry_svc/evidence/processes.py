"""What is asked of a comparison's units: has it become worse, is it worse, is it surely not worse?"""

from dataclasses import dataclass

from registry_svc.evidence.betting import BettingProcess
from registry_svc.evidence.bound import RunningBound
from registry_svc.evidence.detector import ECusum, EDetector
from registry_svc.evidence.units import Unit


@dataclass(slots=True)
class Watch:
    """Has the version become worse than its comparator by more than the margin? Never ends. Not thread-safe."""

    margin: float
    bound: RunningBound
    detector: EDetector
    cusum: ECusum

    @classmethod
    def of(cls, largest: float, margin: float, units_to_false_alarm: float, running: RunningBound) -> "Watch":
        """A fresh watch over differences in [-largest, largest]. `running` says how units are clipped."""
        limit = largest + margin
        bound = RunningBound(limit, running.multiple, running.memory)
        return cls(margin, bound, EDetector(limit, units_to_false_alarm), ECusum(limit))

    @property
    def log_evidence(self) -> float:
        """Where the detector stands; 0 before its first unit."""
        return self.detector.log_evidence if any(self.detector.sums) else 0.0

    @property
    def threshold(self) -> float:
        """Where it alarms."""
        return self.detector.threshold

    def update(self, unit: Unit) -> bool:
        """Returns whether it alarms now."""
        clip = self.bound.clip
        x = self.bound.apply(unit.weight * (unit.value - self.margin))
        self.cusum.update(x, clip)
        return self.detector.update(x, clip, unit.weight)


@dataclass(slots=True)
class Certificate:
    """Is the version surely not worse than its comparator by the margin? Crosses once. Not thread-safe.

    Attributes:
        sign: 1; with -1 it asks the opposite: is the version surely worse by more than the margin?
    """

    margin: float
    sign: float
    bound: RunningBound
    process: BettingProcess

    @classmethod
    def of(cls, largest: float, margin: float, level: float, running: RunningBound, sign: float = 1.0) -> "Certificate":
        """A fresh one. `running` says how units are clipped; what it knows of earlier, similar ones is kept."""
        limit = largest + margin
        bound = RunningBound(limit, running.multiple, running.memory, running.mean_square)
        prior = running.mean_square if running.mean_square > 0 else None
        return cls(margin, sign, bound, BettingProcess.of(limit, level, prior))

    @property
    def log_evidence(self) -> float:
        """Where the process stands."""
        return self.process.log_wealth

    @property
    def threshold(self) -> float:
        """Where it crosses."""
        return self.process.threshold

    def update(self, unit: Unit) -> bool:
        """Returns whether it has crossed."""
        clip = self.bound.clip
        x = self.bound.apply(unit.weight * self.sign * (self.margin - unit.value))
        return self.process.update(x, clip)
