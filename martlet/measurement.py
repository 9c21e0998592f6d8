"""Measurements that can be merged: count, sum, sum of squares, so that an interval can be computed later."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Measurement:
    """One metric of one version over some units."""

    model: str
    version: int
    name: str
    count: int
    sum: float
    sum_of_squares: float

    @property
    def mean(self) -> float:
        """The mean, or NaN without units."""
        return self.sum / self.count if self.count else float("nan")

    def merge(self, other: "Measurement") -> "Measurement":
        """Both together; they must be of one metric and version."""
        if (self.model, self.version, self.name) != (other.model, other.version, other.name):
            raise ValueError(f"{self} and {other} measure different things")
        return Measurement(
            self.model,
            self.version,
            self.name,
            self.count + other.count,
            self.sum + other.sum,
            self.sum_of_squares + other.sum_of_squares,
        )


@dataclass(frozen=True, slots=True)
class MeasurementBatch:
    """What one producer reports at once. (producer, sequence) makes it idempotent."""

    producer: str
    sequence: int
    measurements: tuple[Measurement, ...]
