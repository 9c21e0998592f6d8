"""Counters and histograms that one thread writes: counting takes about 0.1 µs, a lock of prometheus_client's about 2.

A scrape reads them from another thread and may see a count that is one request ahead of its sum; nothing is torn.
Each instance is a collector: give it the CollectorRegistry that it is scraped through.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

Labels = tuple[str, ...]


class Count:
    """One series of a counter; add to `value`."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0


class LocalCounter(Collector):
    """A counter with labels. Keep what `of` gives: finding it costs more than counting."""

    def __init__(self, name: str, told: str, labels: Sequence[str], registry: CollectorRegistry) -> None:
        self._name, self._told, self._labels = name, told, tuple(labels)
        self._series: dict[Labels, Count] = {}
        registry.register(self)

    def of(self, *labels: str) -> Count:
        """The series with these label values."""
        return self._series.setdefault(labels, Count())

    def remove(self, *labels: str) -> None:
        """Drops a series, if there is one."""
        self._series.pop(labels, None)

    def collect(self) -> Iterator[Metric]:
        """For the registry."""
        family = CounterMetricFamily(self._name, self._told, labels=self._labels)
        for labels, count in list(self._series.items()):
            family.add_metric(labels, count.value)
        yield family


class Spread:
    """One series of a histogram."""

    __slots__ = ("_bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Counts a value; a bucket holds its upper bound."""
        self.counts[bisect_left(self._bounds, value)] += 1
        self.total += value


class LocalHistogram(Collector):
    """A histogram with labels and these upper bounds, ascending. Keep what `of` gives."""

    def __init__(
        self, name: str, told: str, labels: Sequence[str], bounds: Sequence[float], registry: CollectorRegistry
    ) -> None:
        self._name, self._told, self._labels = name, told, tuple(labels)
        self._bounds = tuple(bounds)
        self._ends = [*map(str, map(float, bounds)), "+Inf"]
        self._series: dict[Labels, Spread] = {}
        registry.register(self)

    def of(self, *labels: str) -> Spread:
        """The series with these label values."""
        return self._series.setdefault(labels, Spread(self._bounds))

    def remove(self, *labels: str) -> None:
        """Drops a series, if there is one."""
        self._series.pop(labels, None)

    def collect(self) -> Iterator[Metric]:
        """For the registry."""
        family = HistogramMetricFamily(self._name, self._told, labels=self._labels)
        for labels, spread in list(self._series.items()):
            cumulative = accumulate(spread.counts)
            family.add_metric(labels, list(zip(self._ends, cumulative, strict=True)), spread.total)
        yield family
