"""A gauge that is read when somebody scrapes, from what stands anyway: nothing is counted on the way of a request."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

Readings = Mapping[tuple[str, ...], float]


class ReadGauge(Collector):
    """A gauge with labels. A series is there as long as it is read.

    Args:
        read: label values → value, as they are now. Called in the scrape's thread, several at the same time perhaps:
            it must not wait, nor raise, nor change anything.
    """

    def __init__(
        self, name: str, told: str, labels: Sequence[str], read: Callable[[], Readings], registry: CollectorRegistry
    ) -> None:
        self._name, self._told, self._labels, self._read = name, told, tuple(labels), read
        registry.register(self)

    def describe(self) -> Iterator[Metric]:
        """Its name, so that the registry need not read it to know."""
        yield GaugeMetricFamily(self._name, self._told, labels=self._labels)

    def collect(self) -> Iterator[Metric]:
        """For the registry."""
        family = GaugeMetricFamily(self._name, self._told, labels=self._labels)
        for labels, value in self._read().items():
            family.add_metric(labels, float(value))  # whether something is so, too
        yield family


def read_number(name: str, told: str, read: Callable[[], float], registry: CollectorRegistry) -> ReadGauge:
    """A gauge without labels."""
    return ReadGauge(name, told, (), lambda: {(): read()}, registry)
