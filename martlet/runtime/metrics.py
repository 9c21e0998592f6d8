"""Metrics: the registry is passed in, names follow `martlet_<service>_<what>_<unit>`."""

from prometheus_client import CollectorRegistry, Counter, Histogram

LATENCY_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class RpcMetrics:
    """Count and duration of every call by method and code. Children are resolved once for each pair."""

    def __init__(self, registry: CollectorRegistry, service: str) -> None:
        self._duration = Histogram(
            f"martlet_{service}_rpc_duration_seconds",
            "Time from the arrival of a call to its end",
            ["method", "code"],
            buckets=LATENCY_BUCKETS,
            registry=registry,
        )
        self._errors = Counter(
            f"martlet_{service}_rpc_internal_errors_total",
            "Calls that ended with an unexpected error",
            registry=registry,
        )
        self._children: dict[tuple[str, str], Histogram] = {}

    def observe(self, method: str, code: str, seconds: float) -> None:
        """Records one finished call."""
        child = self._children.get((method, code))
        if child is None:
            child = self._children[method, code] = self._duration.labels(method, code)
        child.observe(seconds)

    def internal_error(self) -> None:
        """Records one unexpected error."""
        self._errors.inc()
