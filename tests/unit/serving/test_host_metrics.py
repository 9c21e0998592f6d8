"""One page for all workers of a host."""

from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry

from martlet.runtime.local_metrics import LocalCounter
from martlet.runtime.metrics_http import MetricsServer
from serving_svc.host_metrics import HostMetrics, WorkerPlace


class Worker:
    """What a worker tells."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.ready = True
        registry = CollectorRegistry()
        self.answers = LocalCounter("answers", "A", ["version"], registry)
        self.http = MetricsServer("127.0.0.1", 0, registry, lambda: self.ready)

    @property
    def place(self) -> WorkerPlace:
        return WorkerPlace(f"w{self.pid % 10}", self.pid, self.http.port)


class Host:
    def __init__(self) -> None:
        self.workers = [Worker(10), Worker(11)]
        self.places = [worker.place for worker in self.workers]
        self.metrics = HostMetrics(lambda: self.places)
        self.page = CollectorRegistry()
        self.page.register(self.metrics)

    def answers(self, version: str) -> float | None:
        return self.page.get_sample_value("answers_total", {"version": version})


@pytest.fixture
def host() -> Iterator[Host]:
    host = Host()
    yield host
    for worker in host.workers:
        worker.http.close()


def test_workers_are_summed_and_a_restart_takes_nothing_away(host: Host) -> None:
    for worker in host.workers:
        worker.answers.of("1").value += 5
    assert host.answers("1") == 10
    born = Worker(20)  # in the place of 10
    host.workers.append(born)
    host.places = [born.place, host.workers[1].place]
    assert host.answers("1") == 10
    born.answers.of("1").value += 1
    assert host.answers("1") == 11


def test_series_of_retired_versions_go_even_if_a_dead_worker_had_them(host: Host) -> None:
    host.workers[0].answers.of("1").value += 5
    host.workers[1].answers.of("2").value += 1
    assert host.answers("1") == 5
    host.places = host.places[1:]
    assert host.answers("1") is None
    assert host.answers("2") == 1


def test_a_worker_that_does_not_answer_is_told_and_what_it_said_last_stands(host: Host) -> None:
    for worker in host.workers:
        worker.answers.of("1").value += 5
    assert host.answers("1") == 10
    host.places = [WorkerPlace("w0", 10, 1), host.places[1]]  # nobody listens on port 1
    assert host.answers("1") == 10
    assert host.page.get_sample_value("martlet_serving_worker_up", {"worker": "w0"}) == 0
    assert host.page.get_sample_value("martlet_serving_worker_up", {"worker": "w1"}) == 1


def test_the_host_is_ready_when_every_worker_is(host: Host) -> None:
    assert host.metrics.ready()
    host.workers[1].ready = False
    assert not host.metrics.ready()
    host.workers[1].ready = True
    host.places = [*host.places, WorkerPlace("w2", 0, 0)]  # about to start
    assert not host.metrics.ready()
