"""Replicas' reports gathered into a version's health."""

from martlet.clock import ManualClock
from martlet.versions import ServableStatus, VersionState
from registry_svc.analysis import ReplicaHealth
from registry_svc.rollout import Health
from tests.unit.registry.samples import V2


def status(version: int, requests: int = 0, errors: int = 0, *, ready: bool = True, digest: str = "") -> ServableStatus:
    state = VersionState.READY if ready else VersionState.LOADING
    return ServableStatus("shop", version, digest or f"v{version}", state, "", requests, errors)


def fresh() -> tuple[ReplicaHealth, ManualClock]:
    clock = ManualClock()
    return ReplicaHealth(clock, silent_seconds=10.0), clock


def test_without_reports_nothing_is_known() -> None:
    health, _ = fresh()
    assert health.of("shop", V2) == Health(0, 0, 0.0, 0, 0)


def test_a_version_is_ready_since_the_last_replica_had_it() -> None:
    health, clock = fresh()
    health.report("r1", [status(2)])
    clock.advance(3.0)
    health.report("r1", [status(2)])
    health.report("r2", [status(2, ready=False)])
    assert (health.of("shop", V2).ready, health.of("shop", V2).ready_seconds) == (1, 0.0)
    health.report("r2", [status(2)])
    clock.advance(1.0)
    assert health.of("shop", V2) == Health(2, 2, 1.0, 0, 0)


def test_a_version_that_was_away_begins_anew() -> None:
    health, clock = fresh()
    health.report("r1", [status(2)])
    clock.advance(3.0)
    health.report("r1", [])
    health.report("r1", [status(2)])
    assert health.of("shop", V2).ready_seconds == 0.0


def test_answers_of_later_versions_count_and_those_of_earlier_do_not() -> None:
    health, _ = fresh()
    health.report("r1", [status(1, 100), status(2, 10), status(3, 7, errors=2)])
    health.report("r2", [status(2, 1)])
    assert health.of("shop", V2).answers == 10 + 5 + 1


def test_answers_outlive_the_version_that_gave_them() -> None:
    """Heads come and go each second; what they answered has still been answered."""
    health, _ = fresh()
    health.report("r1", [status(2, 10), status(3, 20)])
    health.report("r1", [status(2, 10), status(4, 30)])
    assert health.of("shop", V2).answers == 60


def test_a_restarted_replica_does_not_take_answers_back() -> None:
    health, _ = fresh()
    health.report("r1", [status(2, 10)])
    health.report("r1", [status(2, 0)])
    assert health.of("shop", V2).answers == 10


def test_only_a_versions_own_errors_count_against_it() -> None:
    health, _ = fresh()
    health.report("r1", [status(1, 9, 9), status(2, 9, 1), status(3, 9, 9)])
    assert health.of("shop", V2).errors == 1


def test_a_silent_replica_is_forgotten() -> None:
    health, clock = fresh()
    health.report("gone", [status(2, 10, 1, ready=False)])
    clock.advance(6.0)
    health.report("here", [status(2, 5)])
    clock.advance(5.0)
    assert health.of("shop", V2) == Health(1, 1, 5.0, 5, 0)
    assert health.replicas() == 1


def test_a_replica_that_comes_back_after_silence_begins_anew() -> None:
    health, clock = fresh()
    health.report("r1", [status(2, 60)])
    clock.advance(20.0)
    health.report("r1", [status(2, 5)])
    assert health.of("shop", V2) == Health(1, 1, 0.0, 5, 0)


def test_another_digest_is_another_version() -> None:
    health, _ = fresh()
    health.report("stray", [status(2, errors=5, digest="another")])
    found = health.of("shop", V2)
    assert (found.ready, found.errors) == (0, 0)


def test_what_is_no_longer_asked_for_is_dropped() -> None:
    health, _ = fresh()
    health.report("r1", [status(1, 4), status(2, 5)])
    health.forget_before("shop", 2)
    health.forget_before("feed", 9)
    assert list(health._replicas["r1"].answers.values()) == [5]
