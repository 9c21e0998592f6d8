"""The lane under evidence: literal lanes and findings in, one decision out."""

from dataclasses import replace

import pytest

from martlet.errors import Conflict
from martlet.versions import CatalogState
from registry_svc.evidence.lane_judge import LaneFindings
from registry_svc.journal import Decision, DecisionKind, Move, replay
from registry_svc.lane import NOBODY, Lane, Phase, Trial
from registry_svc.lane_rules import LaneEvidence, acknowledge, close, tend_by_evidence
from registry_svc.policy import EvidencePolicy, LanePolicy
from registry_svc.rollout import Health, admit, compare
from tests.unit.registry.samples import V1, V2, V3, V4, lane, record

RULES = EvidencePolicy(labels_per_step=500, pin_lag_labels=20_000, warning_level=3.0)
POLICY = LanePolicy(9000, 2.0, 50, RULES)
GOOD = Health(replicas=2, ready=2, ready_seconds=2.0)
QUIET = LaneFindings(False, 0.0, False, False, 0, 0, "", ())
NOW = 9_000_000


def tend(at: Lane, findings: LaneFindings = QUIET, health: Health = GOOD, open_gap: float = 0.0) -> Decision | None:
    return tend_by_evidence(at, health, LaneEvidence(findings, open_gap, batches=7), (2,), NOW, POLICY)


def made(decision: Decision | None) -> Decision:
    assert decision is not None
    return decision


def test_without_evidence_nothing_happens() -> None:
    assert tend(lane()) is None
    assert tend(replace(lane(), weight=9000)) is None


def test_where_the_head_is_the_pin_nothing_is_judged() -> None:
    alarm = replace(QUIET, alarm=True, certified=True, labels=10_000)
    assert tend(Lane("shop", 0, 1, V1, V1), alarm) is None


def test_an_alarm_takes_everything_behind_the_pin_back() -> None:
    decision = made(tend(replace(lane(), weight=9000, stepped_at=400, pinned_at=300), replace(QUIET, alarm=True)))
    assert decision.kind is DecisionKind.ALARM
    assert decision.lane == Lane("shop", 5, 1, V1, V1, alarms=1, rewinding=True)
    assert [(move.version, move.state) for move in decision.moves] == [
        (2, CatalogState.QUARANTINED),
        (3, CatalogState.ROLLED_BACK),
    ]
    assert decision.batches == 7


def test_a_guard_closes_without_any_label() -> None:
    decision = made(tend(lane(), replace(QUIET, guard="version 3 gave the score nan")))
    assert (decision.kind, decision.lane.epoch) == (DecisionKind.ALARM, 5)
    assert "nan" in decision.detail


def test_a_head_that_keeps_failing_closes_without_any_label() -> None:
    few, many = (LaneEvidence(QUIET, head_errors=errors) for errors in (19, 20))
    assert tend_by_evidence(lane(), GOOD, few, (2,), NOW, POLICY) is None
    decision = made(tend_by_evidence(lane(), GOOD, many, (2,), NOW, POLICY))
    assert (decision.kind, "20 errors" in decision.detail) == (DecisionKind.ALARM, True)


def test_while_training_has_not_gone_back_nothing_is_taken() -> None:
    closed = made(tend(lane(), replace(QUIET, alarm=True))).lane
    with pytest.raises(Conflict, match="go back to version 1"):
        compare(closed, record(4, "v1", 5))
    open_again = made(acknowledge(closed, 5, "v1", NOW)).lane
    compare(open_again, record(4, "v1", 5))
    assert (open_again.revision, open_again.rewinding) == (2, False)


@pytest.mark.parametrize(("epoch", "digest"), [(4, "v1"), (6, "v1"), (5, "v3"), (5, "")])
def test_only_the_right_place_is_acknowledged(epoch: int, digest: str) -> None:
    closed = made(tend(lane(), replace(QUIET, alarm=True))).lane
    with pytest.raises(Conflict):
        acknowledge(closed, epoch, digest, NOW)


def test_a_repeated_acknowledgement_changes_nothing() -> None:
    assert acknowledge(Lane("shop", 5, 2, V1, V1), 5, "v1", NOW) is None


def test_alarms_keep_the_lane_in_shadow_and_then_freeze_it() -> None:
    calm = replace(QUIET, labels=10_000)
    assert made(tend(replace(lane(), alarms=1), calm)).lane.weight == 500
    assert tend(replace(lane(), alarms=2), calm) is None
    frozen = made(tend(replace(lane(), alarms=3), replace(QUIET, alarm=True))).lane
    assert "4 alarms" in frozen.frozen
    with pytest.raises(Conflict, match="frozen"):
        compare(replace(frozen, rewinding=False), record(4, "v1", 5))


def test_a_certificate_moves_the_pin_and_forgives_alarms() -> None:
    certified = replace(QUIET, certified=True, labels=1234)
    decision = made(tend(replace(lane(), alarms=1, weight=500), certified))
    after = decision.lane
    assert decision.kind is DecisionKind.PIN
    assert (after.pin, after.candidate, after.head, after.weight) == (V2, V3, V3, 500)
    assert (after.alarms, after.pinned_at, after.epoch, after.revision) == (0, 1234, 4, 8)
    assert decision.moves == (Move(1, CatalogState.RETIRED), Move(2, CatalogState.PINNED))


@pytest.mark.parametrize("health", [Health(), replace(GOOD, ready=1), replace(GOOD, ready_seconds=1.9)])
def test_a_certificate_waits_until_every_replica_has_it(health: Health) -> None:
    assert tend(lane(), replace(QUIET, certified=True), health) is None


def test_an_undecided_candidate_goes_for_the_newest() -> None:
    undecided = replace(QUIET, undecided=True, candidate_labels=3000)
    decision = made(tend(lane(), undecided))
    assert (decision.kind, decision.lane.candidate) == (DecisionKind.CANDIDATE, V3)
    assert tend(lane(candidate=V3), undecided) is None


@pytest.mark.parametrize(
    ("weight", "labels", "warning", "open_gap", "after"),
    [
        (0, 499, 0.0, 0.0, None),
        (0, 500, 0.0, 0.0, 500),
        (0, 500, 3.0, 0.0, None),
        (0, 500, 2.9, 101.0, None),
        (500, 500, 0.0, 0.0, 2500),
        (2500, 500, 0.0, 100.0, 9000),
        (9000, 5000, 0.0, 0.0, None),
        (9000, 100, 3.0, 0.0, 2500),
        (9000, 99, 3.0, 0.0, None),
        (2500, 0, 0.0, 101.0, 500),
        (500, 100, 3.0, 0.0, 0),
    ],
)
def test_the_share_follows_labels_warning_and_possible_harm(
    weight: int, labels: int, warning: float, open_gap: float, after: int | None
) -> None:
    findings = replace(QUIET, labels=labels + 50, warning=warning)
    decision = tend(replace(lane(), weight=weight, stepped_at=50), findings, open_gap=open_gap)
    assert (decision.lane.weight if decision else None) == after
    if decision:
        assert (decision.lane.stepped_at, decision.kind) == (labels + 50, DecisionKind.SHARE)


def test_a_pin_that_lags_sets_the_share_back() -> None:
    behind = replace(QUIET, labels=20_001)
    decision = made(tend(replace(lane(), weight=9000, stepped_at=20_000), behind))
    assert (decision.lane.weight, "has not moved" in decision.detail) == (500, True)
    assert tend(decision.lane, replace(QUIET, labels=25_000)) is None


def test_a_structural_version_that_descends_from_what_is_taken_back_goes_too() -> None:
    trial = replace(lane(), trial=Trial(V2, Phase.CANARY, 100), waiting=V4)
    after = close(trial, (2,), "why", DecisionKind.ALARM, NOW, RULES).lane
    assert (after.trial, after.waiting) == (Trial(V4), NOBODY)
    both = close(trial, (2, 4), "why", DecisionKind.ALARM, NOW, RULES).lane
    assert (both.trial, both.waiting) == (None, NOBODY)


def test_the_journal_of_an_alarm_replays() -> None:
    decisions, at = [], Lane("shop")
    for version in (1, 2, 3):
        decisions.append(admit(at, record(version, at.head.digest), NOW))
        at = decisions[-1].lane
    evidence = LaneEvidence(replace(QUIET, alarm=True))
    alarm = made(tend_by_evidence(at, GOOD, evidence, (2,), NOW, POLICY))
    state = replay("shop", [*decisions, alarm, made(acknowledge(alarm.lane, 1, "v1", NOW))])
    states = {version: found.state for version, found in state.versions.items()}
    assert states == {1: CatalogState.PINNED, 2: CatalogState.QUARANTINED, 3: CatalogState.ROLLED_BACK}
    assert (state.lane.epoch, state.lane.revision) == (1, 2)
