"""Who answers: literal routes in, one choice out."""

import pytest

from martlet.events import SPLIT_BUCKETS, Arm
from martlet.versions import AspiredModel, Role
from serving_svc.servable import ServableId
from serving_svc.traffic_split import (
    Choice,
    Route,
    Scorer,
    bucket_of,
    choose,
    gate_reference,
    plan_route,
    resolve_label,
)
from tests.unit.serving.fakes import aspired, head_and_pin, sid

LANE, CANARY, PIN = sid(3), sid(2), sid(1)


def route(
    lane_weight: int = 5000,
    canary_weight: int = 0,
    lane: ServableId | None = LANE,
    canary: ServableId | None = None,
    pin: ServableId | None = PIN,
) -> Route:
    return Route("shop", 1, 1, "salt", lane_weight, canary_weight, lane, canary, pin)


def session_with_bucket(low: int, high: int) -> str:
    return next(f"u{n}" for n in range(1_000_000) if low <= bucket_of("salt", f"u{n}") < high)


LOW, MIDDLE, HIGH = session_with_bucket(0, 5000), session_with_bucket(5000, 6000), session_with_bucket(6000, 10_000)


@pytest.mark.parametrize(
    ("given", "asked", "expected"),
    [
        pytest.param(route(), (LOW, True), (Arm.LIVE, LANE, 5000), id="below the weight: the lane"),
        pytest.param(route(), (MIDDLE, True), (Arm.PIN, PIN, 5000), id="from the weight on: the pin"),
        pytest.param(route(), (LOW, False), (Arm.PIN, PIN, 0), id="lease over: the pin"),
        pytest.param(route(lane=None), (LOW, True), (Arm.PIN, PIN, 0), id="no lane: the pin"),
        pytest.param(route(0), (LOW, True), (Arm.PIN, PIN, 0), id="weight 0: the pin"),
        pytest.param(route(SPLIT_BUCKETS), (HIGH, True), (Arm.LIVE, LANE, SPLIT_BUCKETS), id="all of it: the lane"),
        pytest.param(route(5000, 1000, canary=CANARY), (MIDDLE, True), (Arm.CANARY, CANARY, 5000), id="canary"),
        pytest.param(route(5000, 1000, canary=CANARY), (HIGH, True), (Arm.PIN, PIN, 5000), id="above the canary"),
        pytest.param(route(5000, 1000, canary=CANARY), (MIDDLE, False), (Arm.PIN, PIN, 0), id="lease over: no canary"),
        pytest.param(route(5000, 1000), (MIDDLE, True), (Arm.PIN, PIN, 5000), id="canary not ready: the pin"),
    ],
)
def test_choose(given: Route, asked: tuple[str, bool], expected: tuple[Arm, ServableId, int]) -> None:
    session, lease_open = asked
    arm, servable, weight = expected
    choice = choose(given, session, lease_open=lease_open)
    assert choice == Choice(bucket_of("salt", session), weight, arm, servable)


def test_without_a_ready_version_nobody_is_chosen() -> None:
    assert choose(route(lane=None, pin=None), LOW, lease_open=True) is None


def test_buckets_are_spread_evenly() -> None:
    below = sum(bucket_of("salt", f"user-{n}") < 2500 for n in range(20_000))
    assert 4700 < below < 5300


READY_12 = frozenset({sid(1), sid(2)})


def test_a_ready_head_takes_the_lane() -> None:
    planned = plan_route(head_and_pin(2, head=2, pin=1), READY_12, None)
    assert (planned.lane, planned.pin, planned.lane_weight) == (sid(2), sid(1), 9000)


def test_the_old_head_keeps_the_lane_while_the_new_one_loads() -> None:
    before = plan_route(head_and_pin(2, head=2, pin=1), READY_12, None)
    after = plan_route(head_and_pin(3, head=3, pin=1), READY_12, before)
    assert (after.lane, after.revision) == (sid(2), 3)


def test_a_new_epoch_fences_the_old_head_at_once() -> None:
    before = plan_route(head_and_pin(2, head=2, pin=1), READY_12, None)
    after = plan_route(head_and_pin(3, head=3, pin=1, epoch=2), READY_12, before)
    assert (after.lane, after.pin) == (None, sid(1))


def test_the_old_pin_stays_while_the_new_one_loads() -> None:
    before = plan_route(head_and_pin(2, head=2, pin=1), READY_12, None)
    after = plan_route(head_and_pin(3, head=2, pin=5), READY_12, before)
    assert after.pin == sid(1)


def test_without_a_pin_the_head_is_the_pin() -> None:
    planned = plan_route(aspired(1, (Role.HEAD, 1, 10_000)), READY_12, None)
    assert (planned.lane, planned.pin) == (sid(1), sid(1))


def test_any_ready_version_is_better_than_none() -> None:
    planned = plan_route(head_and_pin(1, head=8, pin=7), READY_12, None)
    assert planned.pin == sid(2)
    candidate = aspired(1, (Role.HEAD, 8, 9000), (Role.PIN, 7, 1000), (Role.CANDIDATE, 1, 0))
    assert plan_route(candidate, READY_12, None).pin == sid(1)


def test_a_lane_without_weight_is_closed() -> None:
    planned = plan_route(head_and_pin(2, head=2, pin=1, weight=0), READY_12, None)
    assert planned.lane is None


def test_nothing_aspired_is_nothing_routed() -> None:
    before = plan_route(head_and_pin(2, head=2, pin=1), READY_12, None)
    planned = plan_route(aspired(3), READY_12, before)
    assert not any(planned.names(servable) for servable in READY_12)


def test_a_closed_lane_still_has_its_head_and_keeps_it_until_the_next_is_ready() -> None:
    before = plan_route(head_and_pin(2, head=2, pin=1, weight=0), READY_12, None)
    assert (before.lane, before.head) == (None, sid(2))
    loading = plan_route(head_and_pin(3, head=3, pin=1, weight=0), READY_12, before)
    assert (loading.lane, loading.head) == (None, sid(2))
    assert loading.names(sid(2))
    after = plan_route(head_and_pin(3, head=3, pin=1, weight=0), READY_12 | {sid(3)}, loading)
    assert after.head == sid(3)
    assert not after.names(sid(2))


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(aspired(3, (Role.PIN, 1, 10_000)), id="the pin alone"),
        pytest.param(head_and_pin(3, head=1, pin=1), id="the head is the pin"),
        pytest.param(aspired(3, (Role.HEAD, 1, 10_000)), id="no pin but the head"),
        pytest.param(head_and_pin(3, head=3, pin=1, epoch=2), id="fenced"),
    ],
)
def test_there_is_no_head_apart_from_the_pin(given: AspiredModel) -> None:
    before = plan_route(head_and_pin(2, head=2, pin=1), READY_12, None)
    planned = plan_route(given, READY_12, before)
    assert planned.head is None
    assert not planned.names(sid(2))


def test_every_ready_version_that_is_compared_scores_once() -> None:
    everyone = aspired(
        2, (Role.HEAD, 2, 0), (Role.PIN, 1, 10_000), (Role.CANDIDATE, 3, 0), (Role.CANARY, 4, 0), (Role.CANARY, 5, 0)
    )
    ready = frozenset(sid(n) for n in (1, 2, 4, 9))
    scorers = plan_route(everyone, ready, None).scorers
    assert scorers == (Scorer(Role.HEAD, sid(2)), Scorer(Role.PIN, sid(1)), Scorer(Role.CANARY, sid(4)))
    assert plan_route(head_and_pin(2, head=1, pin=1), ready, None).scorers == (Scorer(Role.HEAD, sid(1)),)


def test_while_a_head_loads_the_one_before_it_scores() -> None:
    before = plan_route(head_and_pin(2, head=2, pin=1, weight=0), READY_12, None)
    after = plan_route(head_and_pin(3, head=3, pin=1, weight=0), READY_12, before)
    assert after.scorers == (Scorer(Role.HEAD, sid(2)), Scorer(Role.PIN, sid(1)))


LIVE = head_and_pin(2, head=2, pin=1)


@pytest.mark.parametrize(
    ("aspired_now", "before", "ready", "asked", "expected"),
    [
        pytest.param(head_and_pin(3, 3, 1), LIVE, (1, 2), 3, 2, id="a head follows the one that has the lane"),
        pytest.param(head_and_pin(3, 3, 1, weight=0), LIVE, (1, 2), 3, None, id="a head that answers nobody"),
        pytest.param(head_and_pin(3, 3, 1), LIVE, (1,), 3, 1, id="no head is ready: the pin"),
        pytest.param(head_and_pin(3, 3, 1, epoch=2), LIVE, (1, 2), 3, 1, id="the head is fenced: the pin"),
        pytest.param(head_and_pin(3, 3, 2), LIVE, (1, 2), 3, 2, id="the pin has the lane"),
        pytest.param(head_and_pin(3, 3, 1), None, (), 3, None, id="the first version"),
        pytest.param(head_and_pin(3, 3, 4), LIVE, (1, 2), 3, None, id="the pin is not ready"),
        pytest.param(head_and_pin(3, 3, 3), LIVE, (1, 2), 3, None, id="head and pin at once"),
        pytest.param(head_and_pin(3, 2, 3), LIVE, (1, 2), 3, None, id="a new pin"),
        pytest.param(
            aspired(3, (Role.HEAD, 2, 9000), (Role.PIN, 1, 1000), (Role.CANARY, 3, 0)),
            LIVE,
            (1, 2),
            3,
            None,
            id="a canary",
        ),
    ],
)
def test_what_a_new_version_must_resemble(
    aspired_now: AspiredModel, before: AspiredModel | None, ready: tuple[int, ...], asked: int, expected: int | None
) -> None:
    held = frozenset(sid(n) for n in ready)
    route = plan_route(aspired_now, held, plan_route(before, held, None) if before else None)
    assert gate_reference(aspired_now, route, sid(asked)) == (sid(expected) if expected else None)


@pytest.mark.parametrize(
    ("given", "label", "expected"),
    [
        pytest.param(route(), "stable", PIN, id="stable: the pin"),
        pytest.param(route(canary=CANARY), "canary", CANARY, id="canary: the structural one"),
        pytest.param(route(), "canary", LANE, id="without: the lane's head"),
        pytest.param(route(lane=None), "canary", None, id="nothing is tried"),
        pytest.param(route(), "latest", None, id="no such label"),
    ],
)
def test_labels_name_versions(given: Route, label: str, expected: ServableId | None) -> None:
    assert resolve_label(given, label) == expected
