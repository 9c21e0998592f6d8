"""Metrics of calls: the registry is passed in, names follow `martlet_<service>_<what>_<unit>`."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge

from martlet.runtime.door import Door
from martlet.runtime.local_metrics import LocalHistogram, Spread
from martlet.runtime.read_gauge import ReadGauge, read_number

LATENCY_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


@dataclass(slots=True)
class CallOutcome:
    """How a call ends. CANCELLED is what stands if its caller leaves."""

    code: str = "CANCELLED"


class RpcMetrics:
    """Count and duration of every call by method and code. For one thread: the event loop's."""

    def __init__(self, registry: CollectorRegistry, service: str) -> None:
        self._duration = LocalHistogram(
            f"martlet_{service}_rpc_duration_seconds",
            "Time from the arrival of a call to its end",
            ["method", "code"],
            LATENCY_BUCKETS,
            registry,
        )
        self._errors = Counter(
            f"martlet_{service}_rpc_internal_errors_total",
            "Calls that ended with an unexpected error",
            registry=registry,
        )
        self._streams = Gauge(
            f"martlet_{service}_rpc_open_streams", "Streams that are open now", ["method"], registry=registry
        )

    @contextmanager
    def call(self, method: str) -> Iterator["CallOutcome"]:
        """Times a call, and counts it by the code that stands at the end, before its caller hears of it."""
        outcome = CallOutcome()
        started = time.perf_counter()
        try:
            yield outcome
        finally:
            self.duration(method, outcome.code).observe(time.perf_counter() - started)

    def duration(self, method: str, code: str) -> Spread:
        """Durations of the method's calls that ended so, in seconds. May be kept: it never changes."""
        return self._duration.of(method, code)

    def open_stream(self, method: str) -> AbstractContextManager[None]:
        """Counts a stream as open while the context lasts."""
        return self._streams.labels(method).track_inprogress()

    def expect_streams(self, method: str) -> None:
        """Streams of this method may come; there are none yet."""
        self._streams.labels(method)

    def internal_error(self) -> None:
        """Records one unexpected error."""
        self._errors.inc()


def watch_door(door: Door, registry: CollectorRegistry, service: str) -> None:
    """Tells how many calls are under way, and how many may be."""
    under_way = f"martlet_{service}_rpc_in_flight"
    ReadGauge(
        under_way,
        "Unary calls under way",
        ["method"],
        lambda: {(method,): float(count) for method, count in door.under_way().items()},
        registry,
    )
    read_number(f"{under_way}_limit", "Calls that may be under way", lambda: door.most, registry)
    streams = f"martlet_{service}_rpc_open_streams_limit"
    read_number(streams, "Streams that may be open", lambda: door.most_streams, registry)
