"""Laws of the registry under random histories: publishes, races, refusals, failures, reports, time, restarts.

Each history runs on a real catalog in SQLite. After every step the whole state is looked at.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import sqlalchemy as sql
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from martlet.clock import ManualClock
from martlet.errors import Conflict
from martlet.events import SPLIT_BUCKETS
from martlet.versions import AspiredModel, AspiredSet, CatalogState, ServableStatus, VersionRecord, VersionState
from registry_svc.analysis import ReplicaHealth
from registry_svc.catalog_database import open_database
from registry_svc.catalog_judge import SqlJudgeLog
from registry_svc.catalog_sql import SqlCatalog
from registry_svc.controller import Controller, Offer
from registry_svc.journal import DecisionKind, replay
from registry_svc.judge_desk import JudgeDesk
from registry_svc.lane import NOBODY, Lane
from registry_svc.metrics import RegistryMetrics
from registry_svc.policy import Policies
from tests.fakes.own_lease import OwnLease
from tests.unit.registry.samples import POLICY, record


@dataclass(frozen=True)
class Publish:
    behind: int  # how many heads ago its trainer looked at the lineage
    epochs_behind: int


@dataclass(frozen=True)
class Again:
    version: int


@dataclass(frozen=True)
class Refuse:
    pass


@dataclass(frozen=True)
class Report:
    replica: str
    states: tuple[tuple[int, VersionState, int, int], ...]  # (place, state, requests, errors)


@dataclass(frozen=True)
class Prove:
    """Every replica has the candidate READY for `seconds`, and answers are given."""

    seconds: float
    requests: int
    errors: int


@dataclass(frozen=True)
class Wait:
    seconds: float


@dataclass(frozen=True)
class Restart:
    pass


Step = Publish | Again | Refuse | Report | Prove | Wait | Restart

LOADED = st.tuples(
    st.integers(0, 3),
    st.sampled_from([VersionState.READY] * 3 + [VersionState.LOADING, VersionState.FAILED]),
    st.sampled_from([0, 20, 60]),
    st.sampled_from([0, 0, 0, 1]),
)
PUBLISHES = st.builds(Publish, st.sampled_from([0, 0, 0, 0, 1, 2]), st.sampled_from([0, 0, 0, 1]))
REPORTS = st.builds(Report, st.sampled_from(["r1", "r2"]), st.lists(LOADED, min_size=1, max_size=3).map(tuple))
PROOFS = st.builds(
    Prove, st.sampled_from([1.0, 2.5, 2.5]), st.sampled_from([20, 60, 60]), st.sampled_from([0, 0, 0, 1])
)
RARE = st.one_of(
    st.builds(Again, st.integers(1, 10)),
    st.builds(Refuse),
    st.builds(Wait, st.sampled_from([0.5, 2.5, 11.0])),
    st.builds(Restart),
)


def begun(first: int, rest: list[Step]) -> list[Step]:
    return [*(Publish(0, 0) for _ in range(first)), *rest]


# A lane comes to life with its second version, and random lists are short: so a few versions stand at the beginning.
STEPS = st.builds(begun, st.integers(0, 4), st.lists(st.one_of(PUBLISHES, REPORTS, PROOFS, RARE), max_size=20))


class History:
    """A registry that is put through steps, and what it told."""

    def __init__(self, engine: sql.Engine) -> None:
        self.engine = engine
        self.clock = ManualClock(1)
        self.told: list[AspiredSet] = []
        self.heads: list[str] = [""]
        self.offered = 0
        self.hand = self._hand()

    def _hand(self) -> Controller:
        self.catalog = SqlCatalog(self.engine)
        metrics = RegistryMetrics(CollectorRegistry(), self.clock)
        desk = JudgeDesk(SqlJudgeLog(self.engine), Policies(POLICY))
        health = ReplicaHealth(self.clock)
        return Controller(
            self.catalog, health, desk, OwnLease(), Policies(POLICY), 5000, self.clock, metrics, self.told.append
        )

    def lane(self) -> Lane:
        return self.catalog.standing("shop").lane

    def versions(self) -> dict[int, VersionRecord]:
        return {found.version: found for found in self.catalog.versions("shop", 0, 10_000, with_manifests=False)}

    def take(self, step: Step) -> None:
        if isinstance(step, Publish):
            self._publish(step)
        elif isinstance(step, Again):
            self._again(step.version)
        elif isinstance(step, Refuse):
            self.hand.refuse(self._offer(self.lane().head.digest, 0), "no good")
        elif isinstance(step, Report):
            self._report(step)
        elif isinstance(step, Prove):
            self._prove(step)
        elif isinstance(step, Wait):
            self.clock.advance(step.seconds)
            self.hand.tend()
        else:
            self.hand = self._hand()
        head = self.lane().head.digest
        if head != self.heads[-1]:
            self.heads.append(head)

    def _offer(self, parent: str, epoch: int) -> Offer:
        self.offered += 1
        return Offer(record(0, parent, epoch, digest=f"d{self.offered}"), b"manifest")

    def _publish(self, step: Publish) -> None:
        before, known = self.lane(), len(self.versions())
        parent = self.heads[max(len(self.heads) - 1 - step.behind, 0)]
        epoch = before.epoch - step.epochs_behind
        fits = (parent, epoch) == (before.head.digest, before.epoch)
        try:
            self.hand.admit(self._offer(parent, epoch))
        except Conflict:
            assert not fits
            assert (self.lane(), len(self.versions())) == (before, known)
        else:
            assert fits

    def _again(self, version: int) -> None:
        known = self.versions().get(version)
        if known is None:
            return
        before = (self.lane(), self.versions())
        offer = Offer(replace(known, version=0, state=CatalogState.PENDING), b"manifest")
        assert replace(self.hand.admit(offer), manifest=b"") == known
        assert (self.lane(), self.versions()) == before

    def _report(self, step: Report) -> None:
        lane = self.lane()
        places = (lane.head, lane.pin, lane.candidate, NOBODY)
        statuses = [
            ServableStatus("shop", places[place].version, places[place].digest, state, "broken", requests, errors)
            for place, state, requests, errors in step.states
        ]
        self.hand.hear(step.replica, statuses)
        self.hand.tend()

    def _prove(self, step: Prove) -> None:
        """The law of the pin from both sides: it moves exactly if there was proof."""
        before, candidate = self.lane(), self.lane().candidate
        status = ServableStatus(
            "shop", candidate.version, candidate.digest, VersionState.READY, "", step.requests, step.errors
        )
        self.clock.advance(20.0)  # whoever was heard before is silent now
        for seconds in (0.0, step.seconds):
            self.clock.advance(seconds)
            for replica in ("r1", "r2"):
                self.hand.hear(replica, [status])
        self.hand.tend()
        answers = 2 * (step.requests - step.errors)
        proven = step.seconds >= POLICY.pin_min_seconds and answers >= POLICY.pin_min_requests and not step.errors
        wanted = candidate if proven and candidate != NOBODY else before.pin
        assert self.lane().pin == wanted


@contextmanager
def database() -> Iterator[sql.Engine]:
    with TemporaryDirectory() as folder:
        engine = open_database(f"sqlite:///{Path(folder) / 'catalog.db'}")
        with engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA synchronous=OFF")  # nothing here survives anyway
        yield engine
        engine.dispose()


def check_aspired(history: History, before: Lane) -> None:
    """Some version always answers; weights add up; each stands once; the order of sets only grows."""
    lane = history.lane()
    assert (lane.epoch, lane.revision) >= (before.epoch, before.revision)
    assert lane == before or (lane.epoch, lane.revision) > (before.epoch, before.revision)
    aspired = history.hand.aspired()
    assert bool(aspired.models) == (lane.pin != NOBODY)
    for model in aspired.models:
        states = {version: found.state for version, found in history.versions().items()}
        assert sum(version.weight for version in model.versions) == SPLIT_BUCKETS
        assert all(version.weight >= 0 for version in model.versions)
        assert len({version.version for version in model.versions}) == len(model.versions)
        assert all(states[v.version] in (CatalogState.ADMITTED, CatalogState.PINNED) for v in model.versions)
    if history.told:
        assert history.told[-1] == aspired


def check_states(history: History) -> None:
    """Exactly the lane's members are alive, and exactly one version is the pin."""
    lane, versions = history.lane(), history.versions()
    assert list(versions) == list(range(1, len(versions) + 1))
    alive = {version: found.state for version, found in versions.items() if found.state in ALIVE}
    assert alive == lane.states()
    assert (lane.candidate == NOBODY) == (lane.head == lane.pin)


ALIVE = (CatalogState.ADMITTED, CatalogState.PINNED)


def check_ancestry(history: History) -> None:
    """The pin is an ancestor of the candidate, the candidate of the head: certifying a prefix certifies its own."""
    lane, by_digest = history.lane(), {found.digest: found for found in history.versions().values()}
    line, digest = [], lane.head.digest
    while digest:
        line.append(digest)
        digest = by_digest[digest].parent_digest
    if lane.pin != NOBODY:
        assert lane.pin.digest in line
    if lane.candidate != NOBODY:
        assert line.index(lane.candidate.digest) < line.index(lane.pin.digest)


def check_journal(history: History) -> None:
    """The journal replays to the very catalog."""
    decisions = history.catalog.journal("shop")
    found = replay("shop", decisions)
    assert found.lane == history.lane()
    assert dict(found.versions) == history.versions()
    assert len(decisions) == history.catalog.standing("shop").decisions


def check_pin(history: History, before: Lane) -> None:
    """The pin moves only to what was the candidate, by a decision that says so."""
    lane = history.lane()
    if before.pin not in (lane.pin, NOBODY):
        kinds = [d.kind for d in history.catalog.journal("shop") if d.lane.pin == lane.pin]
        assert kinds[0] is DecisionKind.PIN


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_laws_of_every_history(steps: list[Step]) -> None:
    with database() as engine:
        history = History(engine)
        for step in steps:
            before = history.lane()
            history.take(step)
            check_aspired(history, before)
            check_states(history)
            check_ancestry(history)
            check_pin(history, before)
        check_journal(history)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 1), min_size=2, max_size=8), st.integers(1, 3))
def test_of_those_that_race_for_one_head_one_is_admitted(registries: list[int], rounds: int) -> None:
    """Two registries, each with its own connections and thread, on one database; all offers share the parent."""
    with database() as engine, ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as two:
        first = History(engine)
        first.take(Publish(0, 0))
        hands = [(first.hand, one), (History(engine).hand, two)]
        for number in range(rounds):
            parent = first.lane().head.digest
            racing = [
                hands[registry][1].submit(
                    hands[registry][0].admit, Offer(record(0, parent, digest=f"r{number}-{place}"), b"m")
                )
                for place, registry in enumerate(registries)
            ]
            errors = [future.exception() for future in racing]
            assert sum(error is None for error in errors) == 1
            assert all(error is None or type(error) is Conflict for error in errors)
        assert len(first.versions()) == 1 + rounds
        check_journal(first)


def order_of(model: AspiredModel) -> tuple[int, int]:
    return model.epoch, model.revision


@settings(max_examples=30, deadline=None)
@given(STEPS)
def test_what_is_told_only_grows_and_one_order_means_one_set(steps: list[Step]) -> None:
    """Replicas keep the highest (epoch, revision): two different sets must never share one, across restarts too."""
    with database() as engine:
        history = History(engine)
        for step in steps:
            history.take(step)
    models = [model for told in history.told for model in told.models]
    assert [order_of(model) for model in models] == sorted(order_of(model) for model in models)
    assert len({order_of(model) for model in models}) == len({repr(model) for model in models})
