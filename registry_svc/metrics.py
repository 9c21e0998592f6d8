"""The registry's metrics. Bounded: labels are models and a few fixed words, never versions."""

from collections.abc import Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from martlet import errors
from martlet.clock import Clock
from martlet.versions import CatalogState, VersionRecord
from registry_svc.evidence_metrics import EvidenceMetrics
from registry_svc.journal import Decision
from registry_svc.lane import Lane
from registry_svc.lane_metrics import LaneMetrics
from registry_svc.model_judge import ModelJudge
from registry_svc.policy import LanePolicy

SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_REFUSALS: Final[tuple[tuple[type[errors.MartletError], str], ...]] = (
    (errors.Untrusted, "untrusted"),
    (errors.Conflict, "conflict"),
    (errors.Corrupt, "invalid"),
    (errors.InvalidInput, "invalid"),
)


class RegistryMetrics:
    """One instance for each CollectorRegistry. Thread-safe."""

    def __init__(self, collectors: CollectorRegistry, clock: Clock) -> None:
        self._lanes = LaneMetrics(collectors, clock)
        self._evidence = EvidenceMetrics(collectors, clock)
        self._decisions = Counter(
            "martlet_registry_decisions", "Decisions by kind", ["model", "kind"], registry=collectors
        )
        self._moves = Counter(
            "martlet_registry_version_moves",
            "Versions that came into a state of the catalog",
            ["model", "state"],
            registry=collectors,
        )
        self._offers = Counter(
            "martlet_registry_offers", "What became of offered versions", ["outcome"], registry=collectors
        )
        batches = Counter(
            "martlet_registry_measurement_batches", "Measurement reports", ["result"], registry=collectors
        )
        self._batches = {True: batches.labels("accepted"), False: batches.labels("repeated")}
        self._measurements = Counter(
            "martlet_registry_measurements", "Measurements in accepted reports", registry=collectors
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

    def decided(self, decision: Decision, before: Lane) -> None:
        """Counts a decision. `before`: the lane that it was taken on."""
        model = decision.lane.model
        self._decisions.labels(model, decision.kind.value).inc()
        if decision.added is not None:
            self._moves.labels(model, decision.added.state.name.lower()).inc()
        for move in decision.moves:
            self._moves.labels(model, move.state.name.lower()).inc()
        self._lanes.decided(decision, before)

    def lane(self, lane: Lane, policy: LanePolicy, published_us: Mapping[str, int]) -> None:
        """Shows a lane as it stands (see `LaneMetrics.show`)."""
        self._lanes.show(lane, policy, published_us)

    def judged(self, lane: Lane, judge: ModelJudge) -> None:
        """Shows where the judge stands after a batch."""
        self._evidence.judged(lane, judge)

    def offered(self, record: VersionRecord, *, known: bool) -> None:
        """An offer has a record: it was `known`, or it has one now."""
        rejected = record.state is CatalogState.REJECTED
        self._offers.labels("known" if known else "rejected" if rejected else "admitted").inc()

    def not_taken(self, error: errors.MartletError) -> None:
        """An offer ended with an error."""
        kinds = (outcome for kind, outcome in _REFUSALS if isinstance(error, kind))
        self._offers.labels(next(kinds, "unavailable")).inc()

    def measured(self, measurements: int, *, accepted: bool) -> None:
        """A report of so many measurements came, for the first time or again."""
        self._batches[accepted].inc()
        if accepted:
            self._measurements.inc(measurements)
