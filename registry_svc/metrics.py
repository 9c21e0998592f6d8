"""The registry's metrics. Bounded: labels are models and a few fixed words, never versions."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from registry_svc.journal import Decision
from registry_svc.lane import Lane

SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)


class RegistryMetrics:
    """One instance for each CollectorRegistry. Thread-safe."""

    def __init__(self, collectors: CollectorRegistry) -> None:
        self._decisions = Counter(
            "martlet_registry_decisions", "Decisions by kind", ["model", "kind"], registry=collectors
        )
        self._lane = Gauge(
            "martlet_registry_lane_version",
            "The version in each place of a lane; 0: none",
            ["model", "place"],
            registry=collectors,
        )
        self._epoch = Gauge("martlet_registry_epoch", "A model's epoch", ["model"], registry=collectors)
        self._revision = Gauge(
            "martlet_registry_revision", "A model's revision in its epoch", ["model"], registry=collectors
        )
        self.replicas = Gauge("martlet_registry_replicas", "Serving replicas that are heard", registry=collectors)
        self.publish = Histogram(
            "martlet_registry_publish_seconds",
            "From the arrival of an admitted version to its being aspired",
            buckets=SECONDS,
            registry=collectors,
        )
        self.tending_failed = Counter(
            "martlet_registry_tending_failures", "Rounds of tending that failed", registry=collectors
        )

    def decided(self, decision: Decision) -> None:
        """Counts a decision."""
        self._decisions.labels(decision.lane.model, decision.kind.value).inc()

    def lane(self, lane: Lane) -> None:
        """Shows a lane as it stands."""
        places = {"head": lane.head, "pin": lane.pin, "candidate": lane.candidate}
        for place, member in places.items():
            self._lane.labels(lane.model, place).set(member.version)
        self._epoch.labels(lane.model).set(lane.epoch)
        self._revision.labels(lane.model).set(lane.revision)
