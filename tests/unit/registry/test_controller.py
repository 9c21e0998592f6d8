"""The hand: what it writes, whom it tells, and what it does when another registry was faster."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry

from martlet.clock import ManualClock
from martlet.errors import Conflict, Unavailable
from martlet.versions import AspiredSet, CatalogState, Role, ServableStatus, VersionState
from registry_svc import rollout
from registry_svc.analysis import ReplicaHealth
from registry_svc.catalog import Catalog, Standing
from registry_svc.controller import TRIES, Controller, Offer
from registry_svc.journal import Decision
from registry_svc.judge_desk import JudgeDesk
from registry_svc.lane import Lane
from registry_svc.metrics import RegistryMetrics
from registry_svc.policy import Policies
from tests.fakes.memory_catalog import MemoryCatalog
from tests.fakes.memory_judge_log import MemoryJudgeLog
from tests.fakes.own_lease import OwnLease
from tests.unit.registry.samples import POLICY, record


class RacedCatalog(MemoryCatalog):
    """Another registry decides between this one's look and its write, as often as told."""

    def __init__(self) -> None:
        super().__init__()
        self.races: list[Callable[[Standing], Decision]] = []

    def commit(self, decision: Decision, standing: Standing, manifest: bytes = b"") -> None:
        if self.races:
            super().commit(self.races.pop(0)(standing), standing)
        super().commit(decision, standing, manifest)


class Stage:
    def __init__(self, catalog: Catalog | None = None) -> None:
        self.catalog = MemoryCatalog() if catalog is None else catalog
        self.clock = ManualClock(1_000_000)
        self.told: list[AspiredSet] = []
        self.hand = self.restarted()

    def restarted(self) -> Controller:
        self.collectors = CollectorRegistry()
        health, metrics = ReplicaHealth(self.clock), RegistryMetrics(self.collectors, self.clock)
        desk = JudgeDesk(MemoryJudgeLog(), Policies(POLICY))
        return Controller(
            self.catalog, health, desk, OwnLease(), Policies(POLICY), 5000, self.clock, metrics, self.told.append
        )

    def publish(self, *numbers: int) -> None:
        for number in numbers:
            lane = self.lane()
            self.hand.admit(offer(number, lane.head.digest, lane.epoch))

    def lane(self) -> Lane:
        return self.catalog.standing("shop").lane

    def state(self, version: int) -> CatalogState:
        return self.catalog.get("shop", version).state

    def hear(self, *reports: tuple[int, VersionState], digest: str = "", requests: int = 0) -> None:
        statuses = [
            ServableStatus("shop", version, digest or f"v{version}", state, "broken\n\x00file", requests)
            for version, state in reports
        ]
        self.hand.hear("r1", statuses)


def offer(number: int, parent: str = "", epoch: int = 0) -> Offer:
    return Offer(record(0, parent, epoch, digest=f"v{number}"), f"manifest {number}".encode())


def test_an_admitted_version_is_recorded_and_told_before_the_caller_hears_of_it() -> None:
    stage = Stage()
    found = stage.hand.admit(offer(1))
    assert found == replace(record(1), state=CatalogState.PINNED, manifest=b"manifest 1")
    assert found == stage.catalog.get("shop", 1)
    assert [version.role for version in stage.told[-1].models[0].versions] == [Role.PIN]


def test_a_version_that_is_known_gets_its_record_and_changes_nothing() -> None:
    """Two offers of the same version may pass each other on the way here."""
    stage = Stage()
    stage.publish(1, 2)
    told, journal = len(stage.told), stage.catalog.journal("shop")
    for again in (stage.hand.admit(offer(2, "v1")), stage.hand.refuse(offer(2, "v1"), "no good")):
        assert (again.version, again.state) == (2, CatalogState.ADMITTED)
    assert (len(stage.told), stage.catalog.journal("shop")) == (told, journal)


def test_a_version_on_another_head_conflicts_and_takes_no_number() -> None:
    stage = Stage()
    stage.publish(1, 2)
    with pytest.raises(Conflict):
        stage.hand.admit(offer(3, "v1"))
    stage.publish(3)
    assert stage.catalog.get("shop", 3).digest == "v3"


def test_a_refused_version_is_recorded_with_its_reason_and_nobody_is_told() -> None:
    stage = Stage()
    stage.publish(1)
    told = len(stage.told)
    found = stage.hand.refuse(offer(2, "v1"), "not\nfinite" + "x" * 1000)
    assert (found.version, found.state) == (2, CatalogState.REJECTED)
    assert found.reason.startswith("not finitex")
    assert len(found.reason) == 500
    assert len(stage.told) == told


def test_the_pin_follows_by_health() -> None:
    stage = Stage()
    stage.publish(1, 2, 3)
    stage.hear((2, VersionState.READY), requests=50)
    stage.hand.tend()
    assert stage.lane().pin.version == 1
    stage.clock.advance(2.0)
    stage.hand.tend()
    assert [lane.version for lane in (stage.lane().head, stage.lane().pin, stage.lane().candidate)] == [3, 2, 3]
    assert [stage.state(version) for version in (1, 2, 3)] == [
        CatalogState.RETIRED,
        CatalogState.PINNED,
        CatalogState.ADMITTED,
    ]


def test_a_slow_trickle_of_requests_moves_the_pin_too() -> None:
    """Each head answers three requests before it is overtaken: no version ever has fifty of its own."""
    stage = Stage()
    stage.publish(1)
    for number in range(2, 30):
        stage.publish(number)
        candidate = stage.lane().candidate.version
        stage.hear((candidate, VersionState.READY), (number, VersionState.READY), requests=3)
        stage.clock.advance(1.0)
        stage.hand.tend()
    assert stage.lane().pin.version > 1


def test_a_head_that_cannot_be_loaded_is_rejected_and_fenced_once() -> None:
    stage = Stage()
    stage.publish(1, 2, 3)
    for _ in range(3):  # replicas repeat themselves
        stage.hear((3, VersionState.FAILED))
    assert (stage.lane().head.version, stage.lane().epoch) == (2, 1)
    found = stage.catalog.get("shop", 3)
    assert (found.state, found.reason) == (CatalogState.REJECTED, "broken  file")
    assert stage.told[-1].models[0].epoch == 1
    assert len([d for d in stage.catalog.journal("shop") if d.kind == "failed"]) == 1


def test_a_chain_of_failures_ends_at_the_pin() -> None:
    stage = Stage()
    stage.publish(1, 2, 3)
    stage.hear((2, VersionState.FAILED), (3, VersionState.FAILED))
    assert (stage.lane().head.version, stage.lane().pin.version) == (1, 1)
    assert [stage.state(version) for version in (2, 3)] == [CatalogState.REJECTED] * 2


@pytest.mark.parametrize(
    ("version", "digest"), [(1, ""), (9, ""), (3, "of another catalog")], ids=["the pin", "unknown", "stray"]
)
def test_reports_that_concern_nobody_change_nothing(version: int, digest: str) -> None:
    stage = Stage()
    stage.publish(1, 2, 3)
    before = stage.lane()
    stage.hear((version, VersionState.FAILED), digest=digest)
    assert stage.lane() == before


def test_a_report_about_no_version_at_all_changes_nothing() -> None:
    """An empty lane's places are empty too: that makes nothing of it fail."""
    stage = Stage()
    stage.hand.hear("r1", [ServableStatus("shop", 0, "", VersionState.FAILED)])
    assert stage.lane() == Lane("shop")


def test_the_next_version_on_a_fenced_lane_needs_the_new_epoch() -> None:
    stage = Stage()
    stage.publish(1, 2)
    stage.hear((2, VersionState.FAILED))
    for parent, epoch in (("v2", 0), ("v2", 1), ("v1", 0)):
        with pytest.raises(Conflict):
            stage.hand.admit(offer(3, parent, epoch))
    assert stage.hand.admit(offer(3, "v1", 1)).version == 3


def test_a_restarted_registry_aspires_the_same() -> None:
    stage = Stage()
    stage.publish(1, 2, 3)
    assert stage.restarted().aspired() == stage.hand.aspired() == stage.told[-1]


def test_what_another_registry_decides_is_taken_in() -> None:
    stage = Stage()
    stage.publish(1)
    other = stage.restarted()
    stage.publish(2)
    stage.told.clear()
    other.tend()
    assert stage.told[-1].models[0].with_role(Role.HEAD) is not None
    stage.told.clear()
    other.tend()
    assert stage.told == []


def racer(number: int) -> Callable[[Standing], Decision]:
    return lambda standing: rollout.admit(
        standing.lane, record(standing.newest + 1, standing.lane.head.digest, digest=f"v{number}"), 1
    )


def test_of_two_that_race_for_the_head_the_second_conflicts() -> None:
    catalog = RacedCatalog()
    stage = Stage(catalog)
    stage.publish(1)
    catalog.races.append(racer(2))
    with pytest.raises(Conflict, match="head"):
        stage.hand.admit(offer(3, "v1"))
    assert [found.digest for found in catalog.versions("shop", 0, 9, with_manifests=False)] == ["v1", "v2"]


def test_a_race_for_the_same_version_ends_in_one_record() -> None:
    catalog = RacedCatalog()
    stage = Stage(catalog)
    stage.publish(1)
    catalog.races.append(racer(2))
    assert stage.hand.admit(offer(2, "v1")).version == 2


def test_a_race_that_does_not_touch_the_head_is_no_conflict() -> None:
    catalog = RacedCatalog()
    stage = Stage(catalog)
    stage.publish(1)
    catalog.races.append(lambda standing: rollout.refuse(standing.lane, record(2, digest="bad"), 1))
    assert stage.hand.admit(offer(3, "v1")).version == 3


def test_a_catalog_that_never_stands_still_is_unavailable() -> None:
    catalog = RacedCatalog()
    stage = Stage(catalog)
    catalog.races.extend(
        lambda standing: rollout.refuse(standing.lane, record(standing.newest + 1), 1) for _ in range(TRIES)
    )
    with pytest.raises(Unavailable):
        stage.hand.admit(offer(99))


def test_metrics_show_the_lane_and_count_decisions() -> None:
    stage = Stage()
    stage.publish(1, 2, 3)
    stage.hear((3, VersionState.FAILED))
    stage.hand.tend()
    value = stage.collectors.get_sample_value
    assert value("martlet_registry_lane_version", {"model": "shop", "place": "head"}) == 2
    assert value("martlet_registry_lane_version", {"model": "shop", "place": "pin"}) == 1
    assert value("martlet_registry_epoch", {"model": "shop"}) == 1
    assert value("martlet_registry_decisions_total", {"model": "shop", "kind": "head"}) == 3
    assert value("martlet_registry_decisions_total", {"model": "shop", "kind": "failed"}) == 1
    assert value("martlet_registry_replicas") == 1
