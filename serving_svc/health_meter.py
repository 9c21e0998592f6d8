"""How each version does in this replica: requests, errors, answers that are no numbers, time taken.

Totals go into the status that the registry sees; what is new since the last report goes out as measurements.
"""

from collections.abc import Iterable
from dataclasses import replace

from prometheus_client import CollectorRegistry

from martlet.measurement import Measurement
from martlet.runtime.local_metrics import LocalCounter, LocalHistogram
from martlet.versions import ServableStatus
from serving_svc.servable import ServableId

LATENCY = "predict_seconds"
ERRORS = "errors"
NOT_FINITE = "not_finite"

_BUCKETS = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


class HealthMetrics:
    """The Prometheus side, for one thread. One instance for each CollectorRegistry."""

    def __init__(self, collectors: CollectorRegistry) -> None:
        labels = ("model", "version")
        self.answers = LocalCounter("martlet_serving_answers", "Requests that a version answered", labels, collectors)
        self.errors = LocalCounter(
            "martlet_serving_version_errors", "Runs of a version that raised", labels, collectors
        )
        self.not_finite = LocalCounter(
            "martlet_serving_not_finite", "Runs of a version that gave no number", labels, collectors
        )
        self.seconds = LocalHistogram(
            "martlet_serving_predict_seconds",
            "From encoding to scores, waiting included",
            labels,
            _BUCKETS,
            collectors,
        )

    def remove(self, model: str, version: int) -> None:
        """Removes a retired version's series, so that their number stays bounded."""
        for metric in (self.answers, self.errors, self.not_finite, self.seconds):
            metric.remove(model, str(version))


class VersionHealth:
    """One version's counts. Its series are looked up once, since that costs more than counting."""

    __slots__ = ("_answers", "_errors", "_not_finite", "_seconds", "_taken", "errors", "requests", "squares")

    def __init__(self, servable: ServableId, metrics: HealthMetrics) -> None:
        labels = (servable.model, str(servable.version))
        self.requests = 0
        self.errors = 0
        self.squares = 0.0
        self._answers = metrics.answers.of(*labels)
        self._errors = metrics.errors.of(*labels)
        self._not_finite = metrics.not_finite.of(*labels)
        self._seconds = metrics.seconds.of(*labels)
        self._taken = self._now()

    def answered(self, seconds: float) -> None:
        """It gave finite scores."""
        self.requests += 1
        self.squares += seconds * seconds
        self._answers.value += 1
        self._seconds.observe(seconds)

    def failed(self, *, not_finite: bool) -> None:
        """It raised, or gave scores that are no numbers."""
        self.requests += 1
        self.errors += 1
        (self._not_finite if not_finite else self._errors).value += 1

    def take(self, servable: ServableId) -> list[Measurement]:
        """What is new since the last call."""
        before, now = self._taken, self._now()
        self._taken = now
        requests, errors, broken = (now[i] - before[i] for i in range(3))
        answered, total, squares = requests - errors, now[3] - before[3], now[4] - before[4]
        found = [
            (LATENCY, answered, total, squares),
            (ERRORS, requests, errors, errors),
            (NOT_FINITE, broken, broken, broken),
        ]
        return [
            Measurement(servable.model, servable.version, name, int(count), float(summed), float(squared))
            for name, count, summed, squared in found
            if count
        ]

    def _now(self) -> tuple[int, int, int, float, float]:
        """Requests, errors, answers that were no numbers, seconds, their squares: of all time."""
        return self.requests, self.errors, self._not_finite.value, self._seconds.total, self.squares


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
            self._left.extend(health.take(servable))
            self._metrics.remove(servable.model, servable.version)

    def with_counts(self, statuses: Iterable[ServableStatus]) -> tuple[ServableStatus, ...]:
        """The statuses with requests and errors filled in."""
        return tuple(self._filled(status) for status in statuses)

    def take(self) -> tuple[Measurement, ...]:
        """What is new since the last call."""
        taken, self._left = self._left, []
        for servable, health in self._versions.items():
            taken.extend(health.take(servable))
        return tuple(taken)

    def _filled(self, status: ServableStatus) -> ServableStatus:
        health = self._versions.get(ServableId(status.model, status.version, status.digest))
        return replace(status, requests=health.requests, errors=health.errors) if health else status
