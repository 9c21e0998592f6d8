"""Series that this loop rightly has not, as a page of their own, so that the panels that show them are proven too."""

from collections.abc import Iterator
from typing import Final

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from martlet.replay.traffic import MODEL

# Name: (labels, why the loop of the test does not have it).
NOT_HERE: Final[dict[str, tuple[dict[str, str], str]]] = {
    "martlet_serving_worker_up": ({"worker": "serving-0-w0"}, "one process serves, no host of several workers"),
    "martlet_serving_worker_restarts": ({"worker": "serving-0-w0"}, "likewise"),
    "martlet_serving_certificate_expiry_timestamp_seconds": ({"certificate": "own"}, "nothing is encrypted"),
    "martlet_serving_retrieval_refresh_seconds": ({"model": MODEL}, "no version has vectors to retrieve by"),
}
COUNTERS: Final = {"martlet_serving_worker_restarts"}


class SyntheticPage(Collector):
    """Each of them once, with a value that is not zero."""

    def collect(self) -> Iterator[Metric]:
        for name, (labels, why) in NOT_HERE.items():
            family = (CounterMetricFamily if name in COUNTERS else GaugeMetricFamily)(name, why, labels=list(labels))
            family.add_metric(list(labels.values()), 4e9)
            yield family
