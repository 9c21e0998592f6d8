"""How each version does in this replica: requests, errors, answers that are no numbers, time taken.

Totals go into the status that the registry sees; what is new since the last report goes out as measurements.
"""

from collections.abc import Iterable
from dataclasses import replace

from prometheus_client import CollectorRegistry, Counter, Histogram

from martlet.measurement import Measurement
from martlet.versions import ServableStatus
from serving_svc.servable import ServableId

LATENCY = "predict_seconds"
ERRORS = "errors"
NOT_FINITE = "not_finite"

_BUCKETS = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


class HealthMetrics:
    """The Prometheus side. One instance for each CollectorRegistry."""

    def __init__(self, collectors: CollectorRegistry) -> None:
        labels = ("model", "version")
        self.answers = Counter(
            "martlet_serving_answers", "Requests that a version answered", labels, registry=collectors
        )
        self.errors = Counter(
            "martlet_serving_version_errors", "Runs of a version that raised", labels, registry=collectors
        )
        self.not_finite = Counter(
            "martlet_serving_not_finite", "Runs of a version that gave no number", labels, registry=collectors
        )
        self.seconds = Histogram(
            "martlet_serving_predict_seconds",
            "From encoding to scores, waiting included",
            labels,
            buckets=_BUCKETS,
            registry=collectors,
        )

    def remove(self, model: str, version: int) -> None:
        """Removes a retired version's series, so that their number stays bounded."""
        for metric in (self.answers, self.errors, self.not_finite, self.seconds):
            metric.remove_by_labels({"model": model, "version": str(version)})


class VersionHealth:
    """One version's counts. Its metric children are resolved once, since that costs more than counting."""

    __slots__ = ("_answers", "_errors", "_metrics", "_not_finite", "_seconds", "errors", "fresh", "requests")

    def __init__(self, servable: ServableId, metrics: HealthMetrics) -> None:
        labels = (servable.model, str(servable.version))
        self.requests = 0
        self.errors = 0
        self.fresh: dict[str, list[float]] = {}
        self._answers = metrics.answers.labels(*labels)
        self._errors = metrics.errors.labels(*labels)
        self._not_finite = metrics.not_finite.labels(*labels)
        self._seconds = metrics.seconds.labels(*labels)

    def answered(self, seconds: float) -> None:
        """It gave finite scores."""
        self.requests += 1
        self._answers.inc()
        self._seconds.observe(seconds)
        self._add(LATENCY, seconds)
        self._add(ERRORS, 0.0)

    def failed(self, *, not_finite: bool) -> None:
        """It raised, or gave scores that are no numbers."""
        self.requests += 1
        self.errors += 1
        (self._not_finite if not_finite else self._errors).inc()
        self._add(ERRORS, 1.0)
        if not_finite:
            self._add(NOT_FINITE, 1.0)

    def _add(self, name: str, value: float) -> None:
        sums = self.fresh.get(name)
        if sums is None:
            sums = self.fresh[name] = [0.0, 0.0, 0.0]
        sums[0] += 1
        sums[1] += value
        sums[2] += value * value


class HealthMeter:
    """All versions' health. Lives on one event loop."""

    def __init__(self, metrics: HealthMetrics) -> None:
        self._metrics = metrics
        self._versions: dict[ServableId, VersionHealth] = {}
        self._left: list[Measurement] = []

    def of(self, servable: ServableId) -> VersionHealth:
        """One version's counts."""
        health = self._versions.get(servable)
        if health is None:
            health = self._versions[servable] = VersionHealth(servable, self._metrics)
        return health

    def forget(self, servable: ServableId) -> None:
        """Drops a retired version; what of it was not taken yet still is."""
        health = self._versions.pop(servable, None)
        if health is not None:
            self._left.extend(_measurements(servable, health))
            self._metrics.remove(servable.model, servable.version)

    def with_counts(self, statuses: Iterable[ServableStatus]) -> tuple[ServableStatus, ...]:
        """The statuses with requests and errors filled in."""
        return tuple(self._filled(status) for status in statuses)

    def take(self) -> tuple[Measurement, ...]:
        """What is new since the last call."""
        taken, self._left = self._left, []
        for servable, health in self._versions.items():
            taken.extend(_measurements(servable, health))
            health.fresh = {}
        return tuple(taken)

    def _filled(self, status: ServableStatus) -> ServableStatus:
        health = self._versions.get(ServableId(status.model, status.version, status.digest))
        return replace(status, requests=health.requests, errors=health.errors) if health else status


def _measurements(servable: ServableId, health: VersionHealth) -> list[Measurement]:
    return [
        Measurement(servable.model, servable.version, name, int(count), total, squares)
        for name, (count, total, squares) in health.fresh.items()
    ]
