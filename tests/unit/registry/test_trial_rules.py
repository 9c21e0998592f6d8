"""The structural road and an operator's word: literal lanes in, one decision out."""

from dataclasses import replace

import pytest

from martlet.errors import Conflict
from martlet.versions import CatalogState
from registry_svc import operator_rules
from registry_svc.evidence.structural_judge import StructuralFindings
from registry_svc.journal import Decision, DecisionKind, Move
from registry_svc.lane import NOBODY, Lane, Phase, Trial
from registry_svc.policy import EvidencePolicy, TrialPolicy
from registry_svc.rollout import Health
from registry_svc.trial_rules import TrialEvidence, enter, tend_trial
from tests.unit.registry.samples import V1, V2, V3, V4, lane, record

RULES = TrialPolicy(shadow_labels=100, steps=(100, 2500), labels_per_step=50, give_up_labels=1000)
QUIET = StructuralFindings(worse="", certified=False, labels=0, guard="", paths=())
SHADOW = replace(lane(), trial=Trial(V4))
NOW = 9_000_000


def tend(at: Lane, findings: StructuralFindings, health: Health | None = None) -> Decision | None:
    return tend_trial(at, health or Health(), TrialEvidence(findings, 7), NOW, RULES)


def made(decision: Decision | None) -> Decision:
    assert decision is not None
    return decision


def test_the_first_takes_the_slot_the_next_waits_the_newest_wins() -> None:
    first = enter(lane(), record(4), NOW)
    assert first.lane == replace(lane(), revision=8, trial=Trial(V4))
    second = enter(first.lane, record(5), NOW)
    assert (second.lane.tried, second.lane.waiting.version, second.moves) == (V4, 5, ())
    third = enter(second.lane, record(6), NOW)
    assert (third.lane.tried, third.lane.waiting.version) == (V4, 6)
    assert [(move.version, move.state) for move in third.moves] == [(5, CatalogState.RETIRED)]


def test_without_evidence_it_stays_in_shadow() -> None:
    assert tend(SHADOW, QUIET) is None
    assert tend(SHADOW, replace(QUIET, labels=999)) is None


@pytest.mark.parametrize("bad", [{"worse": "worse by 0.01"}, {"guard": "NaN"}])
def test_a_bad_one_leaves_in_shadow_and_the_next_comes_in(bad: dict[str, str]) -> None:
    decision = made(tend(replace(SHADOW, waiting=V2), replace(QUIET, **bad)))  # type: ignore[arg-type]
    assert (decision.lane.trial, decision.lane.waiting) == (Trial(V2), NOBODY)
    (move,) = decision.moves
    assert (move.version, move.state, "in shadow" in move.reason) == (4, CatalogState.ROLLED_BACK, True)
    assert decision.lane.epoch == lane().epoch


def test_errors_end_it() -> None:
    assert made(tend(SHADOW, QUIET, Health(errors=1))).moves[0].state is CatalogState.ROLLED_BACK


def test_an_undecided_one_is_inconclusive() -> None:
    move = made(tend(SHADOW, replace(QUIET, labels=1000))).moves[0]
    assert (move.state, "inconclusive" in move.reason) == (CatalogState.RETIRED, True)


def test_the_way_up_ends_with_promotion() -> None:
    certified = replace(QUIET, certified=True)
    assert tend(SHADOW, replace(certified, labels=99)) is None
    canary = made(tend(SHADOW, replace(certified, labels=100))).lane
    assert canary.trial == Trial(V4, Phase.CANARY, 100, 100)
    assert tend(canary, replace(certified, labels=149)) is None
    wide = made(tend(canary, replace(certified, labels=150))).lane
    assert wide.trial == Trial(V4, Phase.CANARY, 2500, 150)
    decision = made(tend(wide, replace(certified, labels=200)))
    assert decision.kind is DecisionKind.PROMOTED
    assert decision.lane == Lane("shop", 5, 1, V4, V4)
    retired = CatalogState.RETIRED
    assert decision.moves == (Move(1, retired), Move(2, retired), Move(3, retired), Move(4, CatalogState.PINNED))


def test_an_operator_promotes_the_candidate_or_the_structural_version() -> None:
    assert operator_rules.promoted(SHADOW, 4, "why", NOW).lane.pin == V4
    after = operator_rules.promoted(lane(), 2, "why", NOW).lane
    assert (after.pin, after.head, after.epoch) == (V2, V3, 4)
    for version in (0, 1, 3, 9):
        with pytest.raises(Conflict):
            operator_rules.promoted(lane(), version, "why", NOW)


def test_an_operator_aborts_the_structural_version_first_then_the_lane() -> None:
    rules = EvidencePolicy()
    first = operator_rules.aborted(SHADOW, (2,), "why", NOW, rules)
    assert (first.kind, first.lane.trial, first.lane.epoch) == (DecisionKind.ABORTED, None, 4)
    second = operator_rules.aborted(first.lane, (2,), "why", NOW, rules)
    assert (second.lane.epoch, second.lane.head, second.lane.rewinding) == (5, V1, True)
    with pytest.raises(Conflict, match="nothing to end"):
        operator_rules.aborted(second.lane, (), "why", NOW, rules)


def test_an_operator_goes_back_to_an_older_version() -> None:
    at = lane(head=V4, pin=V3, candidate=V4)
    old = replace(record(1), state=CatalogState.RETIRED)
    decision = operator_rules.pinned(at, old, (2,), "why", NOW)
    assert decision.lane == Lane("shop", 5, 1, V1, V1, rewinding=True)
    assert [(move.version, move.state) for move in decision.moves] == [
        (1, CatalogState.PINNED),
        (2, CatalogState.QUARANTINED),
        (3, CatalogState.ROLLED_BACK),
        (4, CatalogState.ROLLED_BACK),
    ]
    for bad in (replace(old, state=CatalogState.ROLLED_BACK), replace(record(4), state=CatalogState.RETIRED)):
        with pytest.raises(Conflict):
            operator_rules.pinned(at, bad, (), "why", NOW)


def test_an_operator_thaws() -> None:
    frozen = replace(lane(), frozen="four alarms", alarms=4)
    after = operator_rules.thawed(frozen, "looked into it", NOW).lane
    assert (after.frozen, after.alarms) == ("", 0)
    with pytest.raises(Conflict):
        operator_rules.thawed(after, "again", NOW)
