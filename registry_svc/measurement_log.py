"""The measurement log: what replicas and the trainer measured, in order of arrival, each batch once. The port.

Batches are kept as they came, since evidence depends on their order; totals are a reader's business.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from martlet.measurement import Measurement, MeasurementBatch


@dataclass(frozen=True, slots=True)
class LoggedBatch:
    """A batch at its place in the log. `number` ascends in order of arrival, with gaps."""

    number: int
    batch: MeasurementBatch


class MeasurementLog(Protocol):
    """Append-only, bounded by `forget`. Calls block briefly; they are made from one thread.

    Every method raises Unavailable when the database does not answer.
    """

    def add(self, batch: MeasurementBatch) -> bool:
        """Appends a batch; False, and nothing, when this (producer, sequence) was here already."""
        ...

    def read(self, after: int, limit: int) -> list[LoggedBatch]:
        """At most `limit` batches after a number, oldest first."""
        ...

    def forget(self, keep: int) -> int:
        """Drops all but the newest `keep` batches; what went stays known as a duplicate. Returns how many went."""
        ...


def totals(batches: Iterable[MeasurementBatch]) -> dict[tuple[str, int, str], Measurement]:
    """Everything together: {(model, version, name): measurement}.

    >>> one = MeasurementBatch("r1", 1, (Measurement("shop", 2, "errors", 3, 1.0, 1.0),))
    >>> totals([one, one])[("shop", 2, "errors")].count
    6
    """
    found: dict[tuple[str, int, str], Measurement] = {}
    for batch in batches:
        for measurement in batch.measurements:
            key = (measurement.model, measurement.version, measurement.name)
            found[key] = found[key].merge(measurement) if key in found else measurement
    return found
