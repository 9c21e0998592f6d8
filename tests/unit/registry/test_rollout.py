"""The lane's policy: literal states in, one decision out; and its laws under random histories."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from martlet.events import SPLIT_BUCKETS
from martlet.versions import CatalogState, Role
from registry_svc.rollout import NOBODY, Health, Lane, LanePolicy, Member, admit, aspired, fail, tend

POLICY = LanePolicy(lane_weight=9000, pin_min_seconds=2.0, pin_min_requests=50)
V1, V2, V3 = Member(1, "one"), Member(2, "two"), Member(3, "three")
GOOD = Health(replicas=2, ready=2, requests=80, errors=0)
SINCE = 1_000_000
LATER = SINCE + 2_000_000


def lane(head: Member = V3, pin: Member = V1, candidate: Member = V2) -> Lane:
    return Lane("shop", 4, 7, head, pin, candidate, SINCE)


def test_the_first_version_is_its_own_pin_and_answers_all() -> None:
    first = admit(None, "shop", V1, 0).lane
    assert (first.head, first.pin) == (V1, V1)
    assert [(v.role, v.weight) for v in aspired(first, POLICY).versions] == [(Role.PIN, SPLIT_BUCKETS)]


def test_a_new_head_takes_the_lane_and_the_pin_stays() -> None:
    changed = admit(lane(), "shop", Member(4, "four"), 4).lane
    assert (changed.head.version, changed.pin, changed.candidate) == (4, V1, V2)
    assert changed.revision == 8


def test_head_pin_and_candidate_are_aspired() -> None:
    found = [(v.version, v.role, v.weight) for v in aspired(lane(), POLICY).versions]
    assert found == [(3, Role.HEAD, 9000), (1, Role.PIN, 1000), (2, Role.CANDIDATE, 0)]


def test_a_candidate_that_is_the_head_stands_once() -> None:
    assert [v.version for v in aspired(lane(candidate=V3), POLICY).versions] == [3, 1]


def test_without_a_candidate_the_head_becomes_it() -> None:
    decision = tend(lane(candidate=NOBODY), GOOD, LATER, POLICY)
    assert decision is not None
    assert (decision.kind, decision.lane.candidate, decision.lane.candidate_since_us) == ("candidate", V3, LATER)


def test_nothing_to_do_where_the_head_is_the_pin() -> None:
    assert tend(lane(head=V1, candidate=NOBODY), GOOD, LATER, POLICY) is None


def test_a_proven_candidate_becomes_the_pin() -> None:
    decision = tend(lane(), GOOD, LATER, POLICY)
    assert decision is not None
    assert (decision.kind, decision.lane.pin, decision.lane.candidate) == ("pin", V2, NOBODY)


@pytest.mark.parametrize(
    ("health", "now"),
    [
        (GOOD, LATER - 1),
        (Health(replicas=0, ready=0, requests=0, errors=0), LATER - 1),
        (Health(replicas=2, ready=1, requests=80, errors=0), LATER - 1),
        (Health(replicas=2, ready=2, requests=49, errors=0), LATER - 1),
        (Health(replicas=2, ready=2, requests=500, errors=1), LATER - 1),
    ],
)
def test_too_little_time_is_no_proof(health: Health, now: int) -> None:
    assert tend(lane(), health, now, POLICY) is None


@pytest.mark.parametrize(
    "health",
    [
        Health(replicas=0, ready=0, requests=0, errors=0),
        Health(replicas=2, ready=2, requests=49, errors=0),
        Health(replicas=2, ready=2, requests=500, errors=1),
    ],
)
def test_what_did_not_prove_itself_never_becomes_the_pin(health: Health) -> None:
    decision = tend(lane(), health, LATER, POLICY)
    assert decision is not None
    assert (decision.lane.pin, decision.lane.candidate) == (V1, V3)


def test_a_candidate_that_is_still_the_head_may_wait_longer() -> None:
    assert tend(lane(candidate=V3), Health(2, 2, 10, 0), LATER, POLICY) is None


def test_a_head_that_cannot_be_loaded_gives_way_to_its_parent_in_a_new_epoch() -> None:
    decision = fail(lane(), 3, V2, "broken")
    assert decision is not None
    assert (decision.lane.head, decision.lane.epoch, decision.lane.revision) == (V2, 5, 1)
    assert decision.lane.salt != lane().salt


def test_without_a_usable_parent_the_pin_becomes_the_head() -> None:
    decision = fail(lane(), 3, NOBODY, "broken")
    assert decision is not None
    assert decision.lane.head == V1


def test_a_candidate_that_cannot_be_loaded_leaves() -> None:
    decision = fail(lane(), 2, V1, "broken")
    assert decision is not None
    assert decision.lane.candidate == NOBODY
    assert decision.lane.epoch == 4


@pytest.mark.parametrize("version", [1, 9])
def test_the_pin_and_strangers_stay_as_they_are(version: int) -> None:
    assert fail(lane(), version, NOBODY, "broken") is None


HEALTHS = st.builds(Health, st.integers(0, 2), st.integers(0, 2), st.integers(0, 100), st.integers(0, 1))
STEPS = st.lists(st.one_of(st.just("publish"), HEALTHS, st.integers(1, 12)), max_size=40)


@given(STEPS)
def test_laws_of_every_history(steps: list[object]) -> None:
    """Weights add up, each version stands once, order only grows, and the pin moves only to a proven candidate."""
    state = admit(None, "shop", V1, 0).lane
    newest, now = 1, 0
    for step in steps:
        now += 1_500_000
        before = state
        if step == "publish":
            newest += 1
            state = admit(state, "shop", Member(newest, f"v{newest}"), state.epoch).lane
        elif isinstance(step, Health):
            decision = tend(state, step, now, POLICY)
            state = decision.lane if decision else state
            if state.pin != before.pin:
                assert state.pin == before.candidate
                assert step.errors == 0
                assert step.requests >= POLICY.pin_min_requests
                assert step.replicas == step.ready > 0
        else:
            failed = fail(state, int(str(step)), NOBODY, "broken")
            state = failed.lane if failed else state
            assert state.pin == before.pin
        versions = aspired(state, POLICY).versions
        assert sum(version.weight for version in versions) == SPLIT_BUCKETS
        assert len({version.version for version in versions}) == len(versions)
        assert (state.epoch, state.revision) >= (before.epoch, before.revision)
        assert state == before or (state.epoch, state.revision) > (before.epoch, before.revision)
        assert CatalogState.PINNED in state.members().values()
