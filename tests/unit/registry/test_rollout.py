"""The lane's policy: literal lanes in, one decision out."""

from dataclasses import replace

import pytest

from martlet.errors import Conflict
from martlet.versions import CatalogState
from registry_svc.journal import Decision, DecisionKind, Move
from registry_svc.lane import NOBODY, Lane, Member
from registry_svc.rollout import Health, admit, compare, fail, refuse, tend
from tests.unit.registry.samples import POLICY, V1, V2, V3, V4, lane, record

GOOD = Health(replicas=2, ready=2, ready_seconds=2.0, answers=50, errors=0)
NOW = 9_000_000


def made(decision: Decision | None) -> Decision:
    assert decision is not None
    return decision


def test_the_first_version_is_its_own_pin() -> None:
    decision = admit(Lane("shop"), record(1), NOW)
    assert decision.lane == Lane("shop", 0, 1, V1, V1)
    assert decision.added is not None
    assert decision.added.state is CatalogState.PINNED
    assert decision.moves == ()


def test_the_second_becomes_head_and_candidate_at_once() -> None:
    decision = admit(Lane("shop", 0, 1, V1, V1), record(2), NOW)
    assert decision.lane == Lane("shop", 0, 2, V2, V1, V2, NOW)
    assert decision.moves == ()


def test_a_new_head_retires_the_old_one_and_leaves_pin_and_candidate() -> None:
    decision = admit(lane(), record(4, epoch=4), NOW)
    assert decision.lane == replace(lane(), revision=8, head=V4)
    assert decision.moves == (Move(3, CatalogState.RETIRED),)
    assert decision.added is not None
    assert decision.added.state is CatalogState.ADMITTED


def test_an_old_head_that_is_the_candidate_does_not_retire() -> None:
    assert admit(lane(candidate=V3), record(4, epoch=4), NOW).moves == ()


@pytest.mark.parametrize(
    ("parent", "epoch", "what"), [("v2", 4, "head"), ("", 4, "head"), ("v3", 3, "epoch"), ("v3", 5, "epoch")]
)
def test_a_version_that_does_not_extend_the_head_in_its_epoch_conflicts(parent: str, epoch: int, what: str) -> None:
    with pytest.raises(Conflict, match=what):
        compare(lane(), record(4, parent, epoch))


def test_a_version_that_extends_the_head_is_compared_well() -> None:
    compare(lane(), record(4, "v3", 4))
    compare(Lane("shop"), record(1, "", 0))


@pytest.mark.parametrize(("parent", "epoch"), [("v1", 0), ("", 1)])
def test_the_first_version_has_no_parent_and_epoch_zero(parent: str, epoch: int) -> None:
    with pytest.raises(Conflict):
        compare(Lane("shop"), record(1, parent, epoch))


def test_a_refused_version_changes_no_lane() -> None:
    decision = refuse(lane(), replace(record(4), reason="no good", manifest=b"m"), NOW)
    assert (decision.lane, decision.moves) == (lane(), ())
    assert decision.added == replace(record(4), reason="no good", state=CatalogState.REJECTED)


def test_a_proven_candidate_becomes_the_pin_and_the_head_is_next() -> None:
    decision = made(tend(lane(), GOOD, NOW, POLICY))
    assert decision.kind is DecisionKind.PIN
    assert decision.lane == Lane("shop", 4, 8, V3, V2, V3, NOW)
    assert decision.moves == (Move(1, CatalogState.RETIRED), Move(2, CatalogState.PINNED))


def test_a_pin_that_is_the_head_leaves_no_candidate() -> None:
    decision = made(tend(lane(candidate=V3), GOOD, NOW, POLICY))
    assert decision.lane == Lane("shop", 4, 8, V3, V3)


def test_nothing_to_do_where_the_head_is_the_pin() -> None:
    assert tend(Lane("shop", 0, 1, V1, V1), GOOD, NOW, POLICY) is None
    assert tend(Lane("shop"), GOOD, NOW, POLICY) is None


@pytest.mark.parametrize(
    "short",
    [
        Health(),
        replace(GOOD, replicas=0, ready=0),
        replace(GOOD, ready=1),
        replace(GOOD, ready_seconds=1.999),
        replace(GOOD, answers=49),
    ],
)
@pytest.mark.parametrize("candidate", [V2, V3])
def test_what_is_not_proven_waits(short: Health, candidate: Member) -> None:
    """No data holds: it neither passes nor fails."""
    assert tend(lane(candidate=candidate), short, NOW, POLICY) is None


def test_a_candidate_that_erred_gives_way_to_the_newest() -> None:
    decision = made(tend(lane(), replace(GOOD, errors=1), NOW, POLICY))
    assert decision.kind is DecisionKind.CANDIDATE
    assert decision.lane == Lane("shop", 4, 8, V3, V1, V3, NOW)
    assert decision.moves == (Move(2, CatalogState.RETIRED),)


def test_a_candidate_that_erred_and_is_the_newest_waits_for_a_newer_one() -> None:
    assert tend(lane(candidate=V3), replace(GOOD, errors=1), NOW, POLICY) is None


def test_a_head_that_cannot_be_loaded_gives_way_to_its_parent_in_a_new_epoch() -> None:
    decision = made(fail(lane(head=V4), 4, V3, "broken", NOW))
    assert decision.lane == Lane("shop", 5, 1, V3, V1, V2, 1_000_000)
    assert decision.moves == (Move(3, CatalogState.ADMITTED), Move(4, CatalogState.REJECTED, "broken"))
    assert decision.lane.salt != lane().salt


def test_a_head_whose_parent_may_not_serve_gives_way_to_the_pin() -> None:
    decision = made(fail(lane(), 3, NOBODY, "broken", NOW))
    assert decision.lane == Lane("shop", 5, 1, V1, V1)
    assert decision.moves == (Move(2, CatalogState.RETIRED), Move(3, CatalogState.REJECTED, "broken"))


def test_a_head_that_is_the_candidate_leaves_both_places() -> None:
    decision = made(fail(lane(candidate=V3), 3, V2, "broken", NOW))
    assert decision.lane == Lane("shop", 5, 1, V2, V1, V2, NOW)
    assert decision.moves == (Move(2, CatalogState.ADMITTED), Move(3, CatalogState.REJECTED, "broken"))


def test_a_candidate_that_cannot_be_loaded_gives_way_to_the_head_in_the_same_epoch() -> None:
    decision = made(fail(lane(), 2, NOBODY, "broken", NOW))
    assert decision.lane == Lane("shop", 4, 8, V3, V1, V3, NOW)
    assert decision.moves == (Move(2, CatalogState.REJECTED, "broken"),)


@pytest.mark.parametrize("version", [0, 1, 9])
def test_the_pin_and_strangers_stay_as_they_are(version: int) -> None:
    assert fail(lane(), version, V2, "broken", NOW) is None
    assert fail(Lane("shop", 0, 1, V1, V1), version, NOBODY, "broken", NOW) is None
