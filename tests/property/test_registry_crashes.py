"""A registry that dies between any two of its writes comes to the same lane, the same judge and the same journal."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from martlet.clock import ManualClock
from martlet.errors import Conflict
from martlet.events import Arm
from martlet.evidence import EvidenceBatch, EvidenceRow
from martlet.versions import CatalogState, ServableStatus, VersionState
from registry_svc.analysis import ReplicaHealth
from registry_svc.catalog import Standing
from registry_svc.controller import Controller, Offer
from registry_svc.evidence.lane_judge import LaneJudgePolicy
from registry_svc.journal import Decision, DecisionKind, replay
from registry_svc.judge_desk import JudgeDesk
from registry_svc.judge_log import JudgedBatch
from registry_svc.metrics import RegistryMetrics
from registry_svc.model_judge import JudgeRecord
from registry_svc.policy import EvidencePolicy, LanePolicy, Policies
from tests.fakes.memory_catalog import MemoryCatalog
from tests.fakes.memory_judge_log import MemoryJudgeLog
from tests.fakes.own_lease import OwnLease
from tests.unit.registry.samples import record

JUDGE = LaneJudgePolicy(min_labels=200, min_labels_after_alarm=200, give_up_labels=400, labels_to_false_alarm=2000)
POLICY = LanePolicy(9000, 0.0, 0, EvidencePolicy(burn_in_labels=0, labels_per_step=100, judge=JUDGE))


class Death(BaseException):
    """The process dies here."""


@dataclass
class Disk:
    """What outlives the process; dies before or after the chosen write (2k: before the k-th, 2k + 1: after it)."""

    catalog: MemoryCatalog = field(default_factory=MemoryCatalog)
    log: MemoryJudgeLog = field(default_factory=MemoryJudgeLog)
    deaths: set[int] = field(default_factory=set)
    moment: int = 0

    def durable(self, write: Callable[[], None]) -> None:
        self._pass()
        write()
        self._pass()

    def _pass(self) -> None:
        now, self.moment = self.moment, self.moment + 1
        if now in self.deaths:
            raise Death(str(now))


class MortalCatalog:
    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self.standing, self.lanes = disk.catalog.standing, disk.catalog.lanes
        self.find, self.get = disk.catalog.find, disk.catalog.get
        self.versions, self.journal = disk.catalog.versions, disk.catalog.journal

    def commit(self, decision: Decision, standing: Standing, manifest: bytes = b"") -> None:
        self._disk.durable(lambda: self._disk.catalog.commit(decision, standing, manifest))


class MortalLog:
    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self.load, self.batches = disk.log.load, disk.log.batches
        self.read, self.forget = disk.log.read, disk.log.forget

    def add(self, judged: JudgedBatch, record: JudgeRecord) -> None:
        self._disk.durable(lambda: self._disk.log.add(judged, record))


class World:
    """Trainer and replica as they repeat themselves until they are heard."""

    def __init__(self, deaths: set[int]) -> None:
        self.disk = Disk(deaths=deaths)
        self.clock = ManualClock(1)
        self.sequence = 0
        self.dice = np.random.default_rng(5)
        self.hand = self._start()

    def _start(self) -> Controller:
        desk = JudgeDesk(MortalLog(self.disk), Policies(POLICY))
        health, metrics = ReplicaHealth(self.clock), RegistryMetrics(CollectorRegistry(), self.clock)
        catalog = MortalCatalog(self.disk)
        hand = Controller(
            catalog, health, desk, OwnLease(), Policies(POLICY), 5000, self.clock, metrics, lambda aspired: None
        )
        self._report(hand)
        return hand

    def until_heard(self, say: Callable[[Controller], object]) -> None:
        while True:
            try:
                say(self.hand)
            except Death:
                self.hand = self._start()
            else:
                self._report(self.hand)
                return

    def _report(self, hand: Controller) -> None:
        known = self.disk.catalog.versions("shop", 0, 1000, with_manifests=False)
        hand.hear("r1", [ServableStatus("shop", one.version, one.digest, VersionState.READY) for one in known])

    def publish(self, name: str, *, in_lineage: bool = True) -> None:
        def offer(hand: Controller) -> None:
            lane = self.disk.catalog.standing("shop").lane
            found = self.disk.catalog.find("shop", name)
            parent, epoch = (found.parent_digest, found.epoch) if found else (lane.head.digest, lane.epoch)
            hand.admit(Offer(record(0, parent, epoch, digest=name), b"m", in_lineage))

        self.until_heard(offer)

    def labels(self, count: int, errors: dict[int, float]) -> None:
        """Labels on which each version is off by so many logits."""
        for _ in range(count // 50):
            self.sequence += 1
            lane = self.disk.catalog.standing("shop").lane
            batch = EvidenceBatch("judge", self.sequence, "shop", self._rows(lane.epoch, errors))
            self.until_heard(lambda hand, batch=batch: hand.judge(batch))  # type: ignore[misc]

    def _rows(self, epoch: int, errors: dict[int, float]) -> tuple[EvidenceRow, ...]:
        truth = self.dice.normal(size=50)
        labels = self.dice.random(50) < 1.0 / (1.0 + np.exp(-truth))
        head = max(errors)
        return tuple(
            EvidenceRow(
                user=n % 10, time_us=self.sequence, epoch=epoch, arm=Arm.LIVE, weight=5000, version=head, head=head,
                label=float(labels[n]), logits={v: float(truth[n] + off) for v, off in errors.items()},
            )
            for n in range(50)
        )  # fmt: skip

    def story(self) -> None:
        """A good head becomes the pin, a bad one is taken back, training returns, a structural version is tried."""
        self.publish("v1")
        self.publish("v2")
        self.labels(1000, {1: 1.5, 2: 0.0})
        self.publish("v3")
        self.publish("bad")
        self.labels(1000, {1: 1.5, 2: 0.0, 4: 2.0})
        lane = self.disk.catalog.standing("shop").lane
        with pytest.raises(Conflict, match="go back"):
            self.publish("too early")
        self.until_heard(lambda hand: hand.acknowledge_rewind("shop", lane.epoch, lane.head.digest))
        self.publish("v5")
        self.publish("other", in_lineage=False)
        self.labels(200, {2: 0.0, 5: 0.0, 6: 0.1})
        self.until_heard(Controller.tend)


def end(world: World) -> tuple[object, ...]:
    """Everything that counts. Decisions are told apart by what they change; their wording may hold figures."""
    catalog, log = world.disk.catalog, world.disk.log
    states = {one.version: one.state for one in catalog.versions("shop", 0, 1000, with_manifests=False)}
    kinds = [decision.kind for decision in catalog.journal("shop")]
    return catalog.standing("shop").lane, states, kinds, log.load("shop")


def uninterrupted() -> World:
    world = World(set())
    world.story()
    return world


WHOLE = uninterrupted()


def test_the_story_reaches_what_it_is_about() -> None:
    lane, states, kinds, _ = end(WHOLE)
    assert {DecisionKind.PIN, DecisionKind.SHARE, DecisionKind.ALARM, DecisionKind.REWOUND, DecisionKind.TRIAL} <= set(
        kinds  # type: ignore[arg-type]
    )
    assert states[4] is CatalogState.ROLLED_BACK  # type: ignore[index]
    assert states[3] is CatalogState.QUARANTINED  # type: ignore[index]
    assert replay("shop", WHOLE.disk.catalog.journal("shop")).lane == lane


@pytest.mark.parametrize("moment", range(WHOLE.disk.moment))
def test_dead_at_any_write_it_comes_to_the_same_end(moment: int) -> None:
    world = World({moment})
    world.story()
    assert end(world) == end(WHOLE)


def test_dead_at_every_fifth_write_it_comes_to_the_same_end() -> None:
    world = World(set(range(3, 10_000, 5)))
    world.story()
    found, whole = end(world), end(WHOLE)
    assert (replace(found[0], candidate_since_us=0), found[1:]) == (replace(whole[0], candidate_since_us=0), whole[1:])  # type: ignore[type-var]
