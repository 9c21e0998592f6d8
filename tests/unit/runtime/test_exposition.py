"""Pages in both formats, of one process and of a host; and gauges that are read."""

from collections.abc import Iterable, Iterator
from urllib.request import Request, urlopen

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.parser import text_string_to_metric_families as plain_text
from prometheus_client.registry import Collector

from martlet.runtime.exposition import page_of
from martlet.runtime.local_metrics import LocalCounter, LocalHistogram
from martlet.runtime.metrics_http import MetricsServer
from martlet.runtime.read_gauge import ReadGauge, read_number
from serving_svc.host_metrics import HostMetrics, WorkerPlace

OPEN = "application/openmetrics-text; version=1.0.0; charset=utf-8"
PROMETHEUS = f"{OPEN};q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=0.0.4;q=0.4,*/*;q=0.2"


def open_metrics(page: bytes) -> list[Metric]:
    return list(text_string_to_metric_families(page.decode()))  # type: ignore[no-untyped-call]


def process() -> CollectorRegistry:
    registry = CollectorRegistry()
    Counter("calls", "C", ["method"], registry=registry).labels("a").inc(2)
    LocalCounter("answers", "A", ["version"], registry).of("1").value += 3
    LocalHistogram("run_seconds", "S", ["version"], [0.1, 1.0], registry).of("1").observe(0.5)
    Gauge("waiting", "W", registry=registry).set(4)
    read_number("full", "F", lambda: True, registry)
    return registry


def samples(families: Iterable[Metric]) -> dict[tuple[str, tuple[str, ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.values()))): sample.value
        for family in families
        for sample in family.samples
    }


@pytest.fixture
def workers() -> Iterator[list[MetricsServer]]:
    servers = [MetricsServer("127.0.0.1", 0, process()) for _ in range(2)]
    yield servers
    for server in servers:
        server.close()


def host_of(workers: list[MetricsServer]) -> Collector:
    places = [WorkerPlace(f"w{n}", n + 1, worker.port) for n, worker in enumerate(workers)]
    return HostMetrics(lambda: places[:1], lambda: places[1:], process())


def test_who_asks_for_open_metrics_gets_it_and_others_get_text() -> None:
    for accepted in ("", "*/*", "text/plain"):
        page = page_of(process(), accepted)
        assert page.kind.startswith("text/plain; version=0.0.4")
    for accepted in (OPEN, PROMETHEUS):
        page = page_of(process(), accepted)
        assert page.kind.startswith("application/openmetrics-text; version=1.0.0")
        assert page.body.endswith(b"# EOF\n")


def test_both_formats_say_the_same_of_a_process_and_of_a_host(workers: list[MetricsServer]) -> None:
    for collector in (process(), host_of(workers)):
        text = samples(plain_text(page_of(collector).body.decode()))
        told = samples(open_metrics(page_of(collector, OPEN).body))
        assert text == told
        assert not [name for name, _ in told if name.endswith("_created")]


def test_a_host_sums_its_workers_and_what_else_runs_there(workers: list[MetricsServer]) -> None:
    told = samples(open_metrics(page_of(host_of(workers), PROMETHEUS).body))
    assert told["answers_total", ("1",)] == 9
    assert told["run_seconds_bucket", ("1", "1.0")] == told["run_seconds_count", ("1",)] == 3
    assert told["waiting", ()] == 12
    assert told["martlet_serving_worker_up", ("w0",)] == 1
    assert ("martlet_serving_worker_up", ("w1",)) not in told  # it is no worker


def test_the_server_reads_what_its_caller_accepts() -> None:
    server = MetricsServer("127.0.0.1", 0, process())
    request = Request(f"http://127.0.0.1:{server.port}/metrics", headers={"Accept": PROMETHEUS})
    with urlopen(request, timeout=5) as reply:
        assert reply.headers["Content-Type"].startswith("application/openmetrics-text")
        assert samples(open_metrics(reply.read()))["waiting", ()] == 4
    server.close()


def test_a_read_gauge_has_the_series_that_stand_now() -> None:
    registry = CollectorRegistry()
    stands: dict[tuple[str, ...], float] = {("a",): 1.0, ("b",): 2.0}
    ReadGauge("depth", "D", ["queue"], lambda: stands, registry)
    assert registry.get_sample_value("depth", {"queue": "b"}) == 2
    del stands["b",]
    assert registry.get_sample_value("depth", {"queue": "b"}) is None
    with pytest.raises(ValueError, match="Duplicated"):
        ReadGauge("depth", "D", ["queue"], lambda: stands, registry)
