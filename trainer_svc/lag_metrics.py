"""How far learning is behind the event log, by partition; and what the log and the journals hold. Read at a scrape."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from prometheus_client import CollectorRegistry

from martlet.clock import Clock
from martlet.runtime.read_gauge import ReadGauge, Readings
from trainer_svc.log_watch import LogBounds

_PARTITION: Final = ("model", "partition")


@dataclass(frozen=True, slots=True)
class Reading:
    """How far the loop has read.

    Attributes:
        model: whose loop.
        positions: by partition.
        times_us: by partition, the newest event time that was read; a partition without any is absent.
        record_span: mean difference of two records' positions: bytes, or about 1 where a broker counts records.
        damaged: partitions that cannot be read on.
    """

    model: str
    positions: Mapping[str, int] = field(default_factory=dict)
    times_us: Mapping[str, int] = field(default_factory=dict)
    record_span: float = 1.0
    damaged: int = 0


class LagMetrics:
    """Registers the gauges. `read` and `found` are asked in the scrape's thread and must not wait."""

    def __init__(
        self,
        read: Callable[[], Reading],
        found: Callable[[], LogBounds],
        clock: Clock,
        collectors: CollectorRegistry,
    ) -> None:
        self._read, self._found, self._clock = read, found, clock
        gauges: dict[str, tuple[str, tuple[str, ...], Callable[[], Readings]]] = {
            "lag_records": ("Durable records that are not learned yet", _PARTITION, self._records),
            "lag_seconds": ("From the event time that was read to now, where more is there", _PARTITION, self._seconds),
            "log_position": ("Positions in the event log", (*_PARTITION, "at"), self._positions),
            "log_answers": ("Whether the event log answered", ("model",), self._answers),
            "damaged_partitions": ("Partitions that cannot be read on", ("model",), self._damaged),
        }
        for name, (told, labels, readings) in gauges.items():
            ReadGauge(f"martlet_trainer_{name}", told, labels, readings, collectors)

    def _records(self) -> Readings:
        reading = self._read()
        return {
            (reading.model, name): max(0, end - reading.positions.get(name, 0)) / reading.record_span
            for name, (_, end) in self._found().bounds.items()
        }

    def _seconds(self) -> Readings:
        """Nothing of a partition that is behind and of which nothing was read yet: nobody knows."""
        reading, now_us = self._read(), self._clock.now_us()
        found: dict[tuple[str, ...], float] = {}
        for name, (_, end) in self._found().bounds.items():
            if end <= reading.positions.get(name, 0):
                found[reading.model, name] = 0.0
            elif name in reading.times_us:
                found[reading.model, name] = max(0.0, (now_us - reading.times_us[name]) / 1e6)
        return found

    def _positions(self) -> Readings:
        reading = self._read()
        found: dict[tuple[str, ...], float] = {}
        for name, (begin, end) in self._found().bounds.items():
            at = {"begin": begin, "read": reading.positions.get(name, 0), "end": end}
            found |= {(reading.model, name, kind): float(position) for kind, position in at.items()}
        return found

    def _answers(self) -> Readings:
        return {(self._read().model,): float(self._found().answers)}

    def _damaged(self) -> Readings:
        reading = self._read()
        return {(reading.model,): float(reading.damaged)}


def watch_journals(model: str, positions: Mapping[str, Callable[[], int]], collectors: CollectorRegistry) -> None:
    """Registers the journals' sizes; `positions` by whose journal it is."""
    ReadGauge(
        "martlet_trainer_journal_bytes",
        "Size of a journal",
        ("model", "journal"),
        lambda: {(model, name): float(read()) for name, read in positions.items()},
        collectors,
    )
