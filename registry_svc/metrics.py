"""The registry's metrics. Bounded: labels are models and a few fixed words, never versions."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from registry_svc.journal import Decision
from registry_svc.lane import Lane
from registry_svc.model_judge import ModelJudge

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
        self._figures = {
            name: Gauge(f"martlet_registry_{name}", text, ["model"], registry=collectors)
            for name, text in {
                "lane_weight": "The live lane's share, in buckets of 10,000",
                "lane_alarms": "Alarms since the pin moved last",
                "lane_rewinding": "1 while training has not gone back to the head",
                "lane_frozen": "1 while nothing may be published until an operator says so",
                "trial_version": "The structural version under way; 0: none",
                "trial_weight": "Its share, in buckets of 10,000",
                "judged_labels": "Labels of head against pin in this epoch",
                "warning": "Log evidence of the warning process that governs the share",
                "open_gap_nats": "Possible harm of the live lane that no label has shown yet",
            }.items()
        }
        self._path = {
            name: Gauge(f"martlet_registry_evidence_{name}", text, ["model", "path"], registry=collectors)
            for name, text in {
                "log": "Log evidence of a process",
                "log_bound": "Log evidence at which the process decides",
                "mean_nats": "Mean loss difference; positive: the version is worse",
            }.items()
        }
        self.batches = Counter(
            "martlet_registry_evidence_batches", "Batches of evidence judged", ["model"], registry=collectors
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
        figures = {
            "lane_weight": lane.weight,
            "lane_alarms": lane.alarms,
            "lane_rewinding": int(lane.rewinding),
            "lane_frozen": int(bool(lane.frozen)),
            "trial_version": lane.tried.version,
            "trial_weight": lane.trial.weight if lane.trial is not None else 0,
        }
        for name, figure in figures.items():
            self._figures[name].labels(lane.model).set(figure)

    def judged(self, lane: Lane, judge: ModelJudge) -> None:
        """Shows where the judge stands after a batch."""
        self.batches.labels(lane.model).inc()
        evidence = judge.lane_evidence()
        figures = {
            "judged_labels": evidence.findings.labels,
            "warning": evidence.findings.warning,
            "open_gap_nats": evidence.open_gap,
        }
        for name, figure in figures.items():
            self._figures[name].labels(lane.model).set(figure)
        trial = judge.trial_evidence().findings.paths if lane.trial is not None else ()
        for path in (*evidence.findings.paths, *trial):
            for name, value in (("log", path.log_evidence), ("log_bound", path.bound), ("mean_nats", path.mean)):
                self._path[name].labels(lane.model, path.name).set(value)
