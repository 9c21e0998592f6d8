"""Laws of serving over random histories."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from random import Random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from martlet.errors import Corrupt, NotReady
from martlet.events import SPLIT_BUCKETS, Arm, ItemDelete, ItemUpsert
from martlet.versions import AspiredModel, AspiredSet, Role, VersionState
from serving_svc.item_store import ItemStore
from serving_svc.loader import Trial
from serving_svc.manager import Manager
from serving_svc.servable import ServableId
from serving_svc.source import receive
from serving_svc.traffic_split import Route, bucket_of, choose, plan_route
from serving_svc.version_policy import Step, VersionView, next_action
from serving_svc.warm_up import warm_up
from tests.unit.core.samples import SPEC
from tests.unit.serving.fakes import MODEL, BrokenLoader, FakeLoader, Shelf, SumServable, aspired, sid

VERSIONS = st.integers(1, 6)
WEIGHTS = st.integers(0, SPLIT_BUCKETS)


@st.composite
def aspired_sets(draw: st.DrawFn, revision: int = 1) -> AspiredModel:
    """What a registry may ask for: a head and a pin, perhaps a candidate and a canary."""
    weight = draw(WEIGHTS)
    roles = [(Role.HEAD, draw(VERSIONS), weight), (Role.PIN, draw(VERSIONS), SPLIT_BUCKETS - weight)]
    roles += [(role, draw(VERSIONS), 0) for role in (Role.CANDIDATE, Role.CANARY) if draw(st.booleans())]
    return aspired(revision, *roles, epoch=draw(st.integers(1, 3)))


class World:
    """A replica without threads: versions load when a step says so, some never do."""

    def __init__(self, broken: frozenset[int]) -> None:
        self.broken = broken
        self.states: dict[ServableId, VersionState] = {}
        self.aspired = aspired(0)
        self.route: Route = plan_route(self.aspired, frozenset(), None)

    def aspire(self, model: AspiredModel) -> None:
        self.aspired = model
        self.settle()

    def finish_load(self) -> None:
        for servable, state in self.states.items():
            if state is VersionState.LOADING:
                broken = servable.version in self.broken
                self.states[servable] = VersionState.FAILED if broken else VersionState.READY
        self.settle()

    def finish_drains(self) -> None:
        self.states = {s: state for s, state in self.states.items() if state is not VersionState.DRAINING}
        self.settle()

    def settle(self) -> None:
        self.plan()
        for _ in range(100):
            action = next_action(self.views())
            if action is None:
                return
            if action.step is Step.LOAD:
                assert action.servable not in self.states
                self.states[action.servable] = VersionState.LOADING
            elif action.step is Step.UNLOAD:
                assert not self.route.names(action.servable)
                self.states[action.servable] = VersionState.DRAINING
            else:
                del self.states[action.servable]
            self.plan()
        raise AssertionError("the policy never comes to rest")

    def plan(self) -> None:
        self.route = plan_route(self.aspired, self.ready, self.route)

    @property
    def ready(self) -> frozenset[ServableId]:
        return frozenset(s for s, state in self.states.items() if state is VersionState.READY)

    def views(self) -> list[VersionView]:
        roles: dict[ServableId, frozenset[Role]] = {}
        for version in self.aspired.versions:
            servable = sid(version.version)
            roles[servable] = roles.get(servable, frozenset()) | {version.role}
        return [
            VersionView(s, self.states.get(s), roles.get(s, frozenset()), self.route.names(s))
            for s in {*roles, *self.states}
        ]


STEPS = st.lists(st.one_of(aspired_sets(), st.just("load"), st.just("drain")), max_size=40)


@given(STEPS, st.frozensets(VERSIONS, max_size=4))
@settings(max_examples=300)
def test_once_a_version_was_ready_some_ready_version_answers_at_every_step(
    steps: list[AspiredModel | str], broken: frozenset[int]
) -> None:
    world, answered_before = World(broken), False
    for step in steps:
        if isinstance(step, AspiredModel):
            world.aspire(step)
        elif step == "load":
            world.finish_load()
        else:
            world.finish_drains()
        route = world.route
        named = [s for s in (route.lane, route.canary, route.pin, route.head) if s is not None]
        named += [scorer.servable for scorer in route.scorers]
        assert set(named) <= world.ready
        assert not broken & {servable.version for servable in named}
        if answered_before:
            assert world.route.pin is not None
        answered_before = world.route.pin is not None


@given(STEPS, st.frozensets(VERSIONS, max_size=4), aspired_sets())
@settings(max_examples=200)
def test_a_replica_comes_to_what_is_aspired_and_to_nothing_else(
    steps: list[AspiredModel | str], broken: frozenset[int], last: AspiredModel
) -> None:
    world = World(broken)
    for step in steps:
        if isinstance(step, AspiredModel):
            world.aspire(step)
        elif step == "load":
            world.finish_load()
    world.aspire(last)
    for _ in range(10):
        world.finish_load()
        world.finish_drains()
    wanted = {version.version for version in last.versions}
    loaded = {servable.version for servable in world.ready}
    assert wanted - broken <= loaded
    if not wanted & broken:
        assert loaded == wanted
        lane_weight = last.versions[0].weight
        assert world.route.pin == sid(last.versions[1].version)
        assert world.route.lane == (sid(last.versions[0].version) if lane_weight else None)


@given(st.lists(st.tuples(aspired_sets(), st.integers(0, 3)), min_size=1, max_size=12), st.frozensets(VERSIONS))
@settings(max_examples=25, deadline=None)
def test_the_manager_itself_answers_at_every_turn_of_the_loop(
    sets: list[tuple[AspiredModel, int]], broken: frozenset[int]
) -> None:
    asyncio.run(_manager_answers(sets, broken))


async def _manager_answers(sets: list[tuple[AspiredModel, int]], broken: frozenset[int]) -> None:
    staged = {n: BrokenLoader(Corrupt("x")) if n in broken else FakeLoader(SumServable(n)) for n in range(1, 7)}
    with ThreadPoolExecutor(1) as executor:
        manager = Manager(Shelf(staged), Trial(lambda servable: warm_up(servable, ())), executor)
        answered = False
        for model, turns in sets:
            manager.aspire(model)
            for _ in range(turns + 1):
                answered = _answers(manager, answered)
                await asyncio.sleep(0.0005)
        await manager.close()
    assert all(loader.loads == loader.unloads for n, loader in staged.items() if n not in broken)


def _answers(manager: Manager, answered: bool) -> bool:  # noqa: FBT001
    try:
        pin = manager.route(MODEL).pin
    except NotReady:
        assert not answered
        return False
    assert pin is not None
    with manager.handle(pin) as handle:
        assert isinstance(handle.servable, SumServable)
        assert handle.servable.shift == pin.version
    return True


SESSIONS = st.text(max_size=20)


def _route(weight: int, epoch: int = 1) -> Route:
    return Route(MODEL, epoch, 1, f"salt-{epoch}", weight, 0, sid(2), None, sid(1))


def _arm(weight: int, session: str) -> Arm:
    choice = choose(_route(weight), session, lease_open=True)
    assert choice is not None
    return choice.arm


@given(SESSIONS, WEIGHTS, WEIGHTS)
def test_raising_the_weight_only_adds_sessions_to_the_lane(session: str, one: int, other: int) -> None:
    low, high = sorted((one, other))
    if _arm(low, session) is Arm.LIVE:
        assert _arm(high, session) is Arm.LIVE
    assert _arm(0, session) is Arm.PIN
    assert _arm(SPLIT_BUCKETS, session) is Arm.LIVE


@given(SESSIONS, WEIGHTS)
def test_a_session_stays_with_its_arm(session: str, weight: int) -> None:
    assert _arm(weight, session) is _arm(weight, session)
    assert 0 <= bucket_of("s", session) < SPLIT_BUCKETS


def test_two_salts_split_independently() -> None:
    both = sum(bucket_of("a", f"u{n}") < 5000 and bucket_of("b", f"u{n}") < 5000 for n in range(10_000))
    assert 2300 < both < 2700


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 5)), min_size=1, max_size=20))
def test_in_whatever_order_sets_arrive_the_highest_is_held(orders: list[tuple[int, int]]) -> None:
    held = receive({}, AspiredSet((), 0), 0.0)
    for epoch, revision in orders:
        held = receive(held, AspiredSet((aspired(revision, epoch=epoch),), 1000), 0.0)
    assert (held[MODEL].aspired.epoch, held[MODEL].aspired.revision) == max(orders)


ITEM_EVENTS = st.lists(
    st.one_of(
        st.builds(
            lambda item, price, time: ItemUpsert(MODEL, item, {"item.price": price}, time),
            st.integers(1, 4),
            st.floats(-10, 10, width=32),
            st.integers(1, 6),
        ),
        st.builds(lambda item, time: ItemDelete(MODEL, item, time), st.integers(1, 4), st.integers(1, 6)),
    ),
    max_size=20,
    unique_by=lambda event: (event.item_id, event.time_us, isinstance(event, ItemDelete)),
)


@given(ITEM_EVENTS, st.randoms(use_true_random=False))
def test_item_events_give_one_state_in_any_order_and_any_number(
    events: list[ItemUpsert | ItemDelete], random: Random
) -> None:
    shuffled = [*events, *events]
    random.shuffle(shuffled)
    stores = [ItemStore(), ItemStore()]
    stores[1].index(MODEL, SPEC, "spec").newest(9)
    for store, sequence in zip(stores, (events, shuffled), strict=True):
        for event in sequence:
            store.apply(event)
    for item in range(1, 5):
        assert stores[0].attributes(MODEL, item) == stores[1].attributes(MODEL, item)
    for store in stores:
        matrix = store.index(MODEL, SPEC, "spec").newest(9)
        assert matrix.item_ids[:, 0].tolist() == list(matrix.items)
        expected = [store.attributes(MODEL, item) for item in matrix.items]
        assert all(values is not None for values in expected)
        prices = [values["item.price"] for values in expected if values is not None]
        np.testing.assert_array_equal(matrix.item_numbers[:, 0], np.array(prices, np.float32))
        assert set(matrix.items) == {i for i in range(1, 5) if store.attributes(MODEL, i) is not None}
