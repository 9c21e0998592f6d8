"""What the registry's series say of rollouts, evidence and offers."""

from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry

from martlet.clock import ManualClock
from martlet.errors import Conflict, Corrupt, InvalidInput, MartletError, Unavailable, Untrusted
from martlet.versions import CatalogState
from registry_svc.evidence.structural_judge import StructuralFindings
from registry_svc.journal import Decision
from registry_svc.lane import Lane, Phase, Trial
from registry_svc.metrics import RegistryMetrics
from registry_svc.model_judge import ModelJudge
from registry_svc.policy import EvidencePolicy, TrialPolicy
from registry_svc.rollout import Health
from registry_svc.trial_rules import TrialEvidence, enter, tend_trial
from tests.unit.registry.samples import POLICY, V1, V2, V4, lane, record

NOW = 9_000_000
PATHS = {"head-pin", "head-candidate", "candidate-pin"}
RULES = TrialPolicy(shadow_labels=1, steps=(100,), labels_per_step=1, give_up_labels=1000)
QUIET = StructuralFindings(worse="", certified=False, labels=0, guard="", paths=())


class Shown:
    def __init__(self) -> None:
        self.collectors = CollectorRegistry()
        self.clock = ManualClock(NOW)
        self.metrics = RegistryMetrics(self.collectors, self.clock)

    def value(self, name: str, **labels: str) -> float | None:
        return self.collectors.get_sample_value(f"martlet_registry_{name}", labels)

    def decide(self, decision: Decision | None, before: Lane) -> Lane:
        assert decision is not None
        self.metrics.decided(decision, before)
        return decision.lane

    def trials(self, phase: str, outcome: str) -> float:
        return self.value("trials_total", model="shop", phase=phase, outcome=outcome) or 0


def tended(at: Lane, findings: StructuralFindings) -> Decision | None:
    return tend_trial(at, Health(), TrialEvidence(findings, 1), NOW, RULES)


def test_structural_versions_are_counted_by_how_they_end_and_in_which_phase() -> None:
    shown = Shown()
    at = lane()
    for number in (4, 5, 6):  # 5 waits and is overtaken
        at = shown.decide(enter(at, record(number), NOW), at)
    assert shown.trials("waiting", "retired") == 1
    at = shown.decide(tended(at, replace(QUIET, worse="log-loss")), at)  # 4 is worse; 6 comes in
    assert shown.trials("shadow", "rolled_back") == 1
    for labels in (10, 20):
        at = shown.decide(tended(at, replace(QUIET, certified=True, labels=labels)), at)
    assert shown.trials("canary", "promoted") == 1
    assert at.pin.version == 6
    assert shown.value("version_moves_total", model="shop", state="pinned") == 1
    assert shown.value("version_moves_total", model="shop", state="rolled_back") == 1
    ends = [family for family in shown.collectors.collect() if family.name == "martlet_registry_trials"]
    total = sum(sample.value for sample in ends[0].samples if sample.name.endswith("_total"))
    assert total == 3  # each ended once


def test_a_canary_that_waits_for_labels_has_not_ended() -> None:
    shown, before = Shown(), replace(lane(), trial=Trial(V4))
    after = shown.decide(tended(before, replace(QUIET, certified=True, labels=10)), before)
    assert after.trial is not None
    assert after.trial.phase is Phase.CANARY
    assert shown.trials("shadow", "promoted") == shown.trials("canary", "promoted") == 0


def test_a_lane_shows_its_share_as_it_answers_and_the_ages_of_who_stands_in_it() -> None:
    shown = Shown()
    shown.metrics.lane(replace(lane(), trial=Trial(V4), waiting=V2), POLICY, {"head": NOW - 2_000_000, "pin": 0})
    assert shown.value("lane_weight", model="shop") == POLICY.lane_weight  # health decides, not evidence
    assert shown.value("version_age_seconds", model="shop", place="head") == 2
    shown.clock.advance(3.0)
    assert shown.value("version_age_seconds", model="shop", place="head") == 5
    assert shown.value("trial_phase", model="shop", phase="shadow") == 1
    assert shown.value("trial_phase", model="shop", phase="canary") == 0
    assert shown.value("trial_phase", model="shop", phase="waiting") == 1
    judged = replace(POLICY, evidence=EvidencePolicy(warning_level=3.0))
    shown.metrics.lane(replace(lane(), weight=500), judged, {})
    assert shown.value("lane_weight", model="shop") == 500
    assert shown.value("warning_level", model="shop") == 3
    assert shown.value("version_age_seconds", model="shop", place="head") is None


def test_a_comparison_that_has_ended_is_shown_no_more() -> None:
    shown = Shown()
    judge = ModelJudge(replace(POLICY, evidence=EvidencePolicy()))
    for at, paths in ((lane(), PATHS), (lane(candidate=V1), {"head-pin"})):
        judge.look_at(at)
        shown.metrics.judged(at, judge)
        told = {path for path in PATHS if shown.value("evidence_log", model="shop", path=path) is not None}
        assert told == paths
        for name in ("log_bound", "mean_nats", "labels", "units"):
            assert shown.value(f"evidence_{name}", model="shop", path="head-pin") is not None


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (Conflict("head"), "conflict"),
        (Untrusted("who?"), "untrusted"),
        (Corrupt("json"), "invalid"),
        (InvalidInput("name"), "invalid"),
        (Unavailable("later"), "unavailable"),
    ],
)
def test_offers_are_counted_by_what_became_of_them(error: MartletError, outcome: str) -> None:
    shown = Shown()
    shown.metrics.not_taken(error)
    assert shown.value("offers_total", outcome=outcome) == 1
    shown.metrics.offered(replace(record(1), state=CatalogState.REJECTED), known=False)
    shown.metrics.offered(replace(record(2), state=CatalogState.ADMITTED), known=False)
    shown.metrics.offered(replace(record(2), state=CatalogState.ADMITTED), known=True)
    assert [shown.value("offers_total", outcome=name) for name in ("rejected", "admitted", "known")] == [1, 1, 1]


def test_measurement_reports_are_counted_once() -> None:
    shown = Shown()
    shown.metrics.measured(3, accepted=True)
    shown.metrics.measured(3, accepted=False)
    assert shown.value("measurement_batches_total", result="accepted") == 1
    assert shown.value("measurement_batches_total", result="repeated") == 1
    assert shown.value("measurements_total") == 3
