"""One `/metrics` and one `/ready` for all workers of a host, asked of each worker when somebody asks."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final
from urllib.error import URLError
from urllib.request import Request, urlopen

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from martlet.errors import Corrupt
from martlet.runtime import samples
from martlet.runtime.metrics_merge import Scrape, departed, merged, metrics_of, scrape_of, still_told

ANSWER_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class WorkerPlace:
    """A worker process.

    Attributes:
        pid: names this life of it.
        metrics_port: 0: it does not tell yet.
    """

    name: str
    pid: int
    metrics_port: int
    restarts: int = 0


class HostMetrics(Collector):
    """Collects from the workers. Thread-safe: scrapes, and so calls of `workers`, come from the HTTP server's threads.

    What a process that died had counted stays in the sums, as it was last seen: a counter falls back by at most what
    was counted between the last scrape and the death.

    Args:
        others: processes that are asked too, and are no workers.
        own: what the asking process itself tells.
    """

    def __init__(
        self,
        workers: Callable[[], Sequence[WorkerPlace]],
        others: Callable[[], Sequence[WorkerPlace]] = tuple,
        own: CollectorRegistry | None = None,
    ) -> None:
        self._workers = workers
        self._others = others
        self._own = own
        self._lock = threading.Lock()
        self._last: dict[int, Scrape] = {}
        self._gone: Scrape = {}

    def collect(self) -> Iterator[Metric]:
        """All workers' metrics as one, and the host's own."""
        places = self._workers()
        asked = [*places, *self._others()]
        with self._lock:
            scrapes = _scraped_all([place for place in asked if place.metrics_port])
            living = {pid: scrape or self._last.get(pid, {}) for pid, scrape in scrapes.items()}
            for pid in self._last.keys() - living.keys():
                self._gone = departed(self._gone, self._last[pid])
            self._last = living
            self._gone = still_told(self._gone, list(living.values()))
            told = merged([*living.values(), self._gone, *self._told_here()])
        yield from _own(places, scrapes)
        yield from metrics_of(told)

    def _told_here(self) -> list[Scrape]:
        return [] if self._own is None else [scrape_of(self._own)]

    def ready(self) -> bool:
        """Whether every worker can serve."""
        places = self._workers()
        return bool(places) and all(place.metrics_port and _is_ready(place) for place in places)


def _own(places: Sequence[WorkerPlace], scrapes: Mapping[int, Scrape | None]) -> Iterator[Metric]:
    up = GaugeMetricFamily("martlet_serving_worker_up", "Whether the worker told its metrics", labels=["worker"])
    restarts = CounterMetricFamily(
        "martlet_serving_worker_restarts", "How often the worker was started again", labels=["worker"]
    )
    for place in places:
        up.add_metric([place.name], float(bool(scrapes.get(place.pid))))
        restarts.add_metric([place.name], place.restarts)
    yield up
    yield restarts


def _scraped_all(places: Sequence[WorkerPlace]) -> dict[int, Scrape | None]:
    """By process id; at the same time, so that one that hangs costs the page no more than its own patience."""
    if not places:
        return {}
    with ThreadPoolExecutor(len(places)) as threads:
        return dict(zip([place.pid for place in places], threads.map(_scraped, places), strict=True))


def _scraped(place: WorkerPlace) -> Scrape | None:
    """None: it does not answer."""
    try:
        return samples.decode(_asked(place, "metrics"))
    except (OSError, Corrupt):
        return None


def _is_ready(place: WorkerPlace) -> bool:
    try:
        _asked(place, "ready")
    except (URLError, OSError):  # 503 is an HTTPError, which is both
        return False
    return True


def _asked(place: WorkerPlace, path: str) -> bytes:
    request = Request(f"http://127.0.0.1:{place.metrics_port}/{path}", headers={"Accept": samples.KIND})
    with urlopen(request, timeout=ANSWER_SECONDS) as reply:  # noqa: S310  HTTP, as it says above
        return bytes(reply.read())
