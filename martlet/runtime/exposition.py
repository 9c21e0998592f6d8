"""A page of metrics in the format that its reader asks for: Prometheus' text, OpenMetrics, or samples for a host."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from martlet.runtime import samples
from martlet.runtime.metrics_merge import scrape_of

_CREATED: Final = "_created"


@dataclass(frozen=True, slots=True)
class Page:
    """What is sent. `kind`: the content type."""

    kind: str
    body: bytes


def page_of(collector: Collector, accepted: str = "") -> Page:
    """All that a collector collects, for who accepts that (the header `Accept`).

    Without the moments at which series were made: they would double the number of counters' series, and tell a reader
    nothing that a counter's fall to 0 does not.
    """
    if accepted == samples.KIND:
        return Page(samples.KIND, samples.encode(scrape_of(collector)))
    encode, kind = choose_encoder(accepted)
    return Page(kind, encode(_WithoutCreated(collector)))


class _WithoutCreated(Collector):
    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    def collect(self) -> Iterator[Metric]:
        for metric in self._collector.collect():
            metric.samples = [sample for sample in metric.samples if not sample.name.endswith(_CREATED)]
            yield metric
