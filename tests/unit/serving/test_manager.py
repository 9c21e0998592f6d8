"""The manager: loads before it unloads, never routes to a broken version, waits for handles."""

import pytest

from martlet.errors import Conflict, Corrupt, NotFound, NotReady, Unavailable
from martlet.versions import Role, VersionState
from serving_svc import loader as loader_module
from serving_svc.loader import LEGAL_MOVES
from serving_svc.manager import Manager
from serving_svc.servable import Servable
from tests.unit.serving.fakes import (
    MODEL,
    BrokenLoader,
    FakeLoader,
    NanServable,
    Shelf,
    SlowLoader,
    SumServable,
    aspired,
    head_and_pin,
    managed,
    sid,
    until,
)


def states(manager: Manager) -> dict[int, VersionState]:
    return {status.version: status.state for status in manager.statuses()}


def are_ready(manager: Manager, *versions: int) -> bool:
    return all(states(manager).get(version) is VersionState.READY for version in versions)


async def test_before_the_first_set_nothing_is_known_and_nothing_is_ready() -> None:
    async with managed(Shelf()) as manager:
        assert not manager.is_ready()
        with pytest.raises(NotReady, match="registry"):
            manager.route(MODEL)
        manager.synced()
        assert manager.is_ready()
        with pytest.raises(NotFound, match="no model 'shop'"):
            manager.route(MODEL)


async def test_a_version_is_ready_only_when_loaded_and_warm() -> None:
    slow = SlowLoader()
    async with managed(Shelf({1: slow})) as manager:
        manager.aspire(head_and_pin(1, head=1, pin=1))
        manager.synced()
        assert not manager.is_ready()
        with pytest.raises(NotReady, match="no version of 'shop' is ready"):
            manager.route(MODEL)
        slow.go.set()
        await until(manager.is_ready)
        assert manager.route(MODEL).pin == sid(1)


async def test_the_old_version_answers_while_the_new_one_loads() -> None:
    slow = SlowLoader()
    async with managed(Shelf({2: slow})) as manager:
        manager.aspire(head_and_pin(1, head=1, pin=1))
        await until(lambda: are_ready(manager, 1))
        manager.aspire(aspired(2, (Role.HEAD, 2, 10_000)))
        assert states(manager) == {1: VersionState.READY, 2: VersionState.LOADING}
        assert manager.route(MODEL).pin == sid(1)
        slow.go.set()
        await until(lambda: states(manager).get(1) is VersionState.RETIRED)
        assert manager.route(MODEL).lane == sid(2)


async def test_unloading_waits_for_the_last_handle() -> None:
    first = FakeLoader()
    async with managed(Shelf({1: first})) as manager:
        manager.aspire(head_and_pin(1, head=1, pin=1))
        await until(lambda: are_ready(manager, 1))
        with manager.handle(sid(1)) as handle, handle.extend():
            manager.aspire(head_and_pin(2, head=2, pin=2))
            await until(lambda: states(manager)[1] is VersionState.DRAINING)
            with pytest.raises(NotReady, match="DRAINING"):
                manager.handle(sid(1))
            assert first.unloads == 0
        await until(lambda: states(manager)[1] is VersionState.RETIRED)
        assert first.unloads == 1
        with pytest.raises(NotReady):
            manager.handle(sid(1))


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        pytest.param(BrokenLoader(Corrupt("blob x is damaged")), "blob x is damaged", id="corrupt"),
        pytest.param(BrokenLoader(RuntimeError("boom")), "RuntimeError: boom", id="unexpected"),
        pytest.param(FakeLoader(NanServable()), "warm-up: the version gives scores that are not finite", id="nan"),
    ],
)
async def test_a_broken_version_fails_and_never_gets_traffic(broken: FakeLoader, reason: str) -> None:
    async with managed(Shelf({2: broken})) as manager:
        manager.aspire(head_and_pin(1, head=1, pin=1))
        await until(lambda: are_ready(manager, 1))
        manager.aspire(head_and_pin(2, head=2, pin=1))
        await until(lambda: states(manager)[2] is VersionState.FAILED)
        failed = next(status for status in manager.statuses() if status.version == 2)
        assert failed.reason == reason
        route = manager.route(MODEL)
        assert (route.lane, route.pin) == (sid(1), sid(1))
        assert broken.loads == 1
        manager.aspire(head_and_pin(3, head=1, pin=1, epoch=2))
        assert manager.route(MODEL).lane == sid(1)


async def test_a_head_that_the_gate_refuses_never_answers_and_the_old_one_goes_on() -> None:
    asked: list[tuple[float, float]] = []

    def gate(new: Servable, current: Servable) -> None:
        assert isinstance(new, SumServable)
        assert isinstance(current, SumServable)
        asked.append((new.shift, current.shift))
        if new.shift == 3:
            raise Conflict("would leap")

    leaping = FakeLoader(SumServable(3))
    async with managed(Shelf({3: leaping}), gate) as manager:
        manager.aspire(head_and_pin(1, head=2, pin=1))
        await until(lambda: are_ready(manager, 1, 2))
        manager.aspire(head_and_pin(2, head=3, pin=1))
        await until(lambda: states(manager)[3] is VersionState.FAILED)
        assert asked == [(2, 1), (3, 2)]
        assert next(status.reason for status in manager.statuses() if status.version == 3) == "would leap"
        assert (manager.route(MODEL).lane, leaping.unloads) == (sid(2), 1)
        manager.aspire(head_and_pin(3, head=4, pin=1))
        await until(lambda: are_ready(manager, 4))
        assert asked == [(2, 1), (3, 2), (4, 2)]
        await until(lambda: states(manager)[2] is VersionState.RETIRED)


async def test_what_failed_in_warm_up_is_freed() -> None:
    broken = FakeLoader(NanServable())
    async with managed(Shelf({1: broken})) as manager:
        manager.aspire(head_and_pin(1, head=1, pin=1))
        await until(lambda: states(manager)[1] is VersionState.FAILED)
        assert broken.unloads == 1


async def test_what_may_pass_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader_module, "RETRY_SECONDS", (0.001, 0.001))
    flaky = BrokenLoader(Unavailable("the store is away"), times=2)
    stubborn = BrokenLoader(OSError("disk"))
    async with managed(Shelf({1: flaky, 2: stubborn})) as manager:
        manager.aspire(head_and_pin(1, head=2, pin=1))
        await until(lambda: are_ready(manager, 1))
        await until(lambda: states(manager)[2] is VersionState.FAILED)
        assert (flaky.loads, stubborn.loads) == (3, 3)


async def test_a_store_that_is_away_for_long_says_nothing_against_a_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader_module, "RETRY_SECONDS", (0.001,))
    monkeypatch.setattr(loader_module, "AWAY_SECONDS", 0.001)
    patient = BrokenLoader(Unavailable("the store is away"), times=20)
    async with managed(Shelf({1: patient})) as manager:
        manager.aspire(head_and_pin(1, head=1, pin=1))
        await until(lambda: are_ready(manager, 1))
        assert patient.loads == 21


async def test_what_is_not_aspired_any_more_is_not_tried_again_and_not_blamed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loader_module, "RETRY_SECONDS", (0.02, 60.0))
    flaky = BrokenLoader(Unavailable("the store is away"))
    async with managed(Shelf({1: flaky})) as manager:
        manager.aspire(head_and_pin(1, head=1, pin=1))
        await until(lambda: flaky.loads == 1)
        manager.aspire(head_and_pin(2, head=2, pin=2))
        await until(lambda: are_ready(manager, 2))
        assert flaky.loads == 1
        assert states(manager) == {2: VersionState.READY}


async def test_of_several_heads_in_a_row_only_the_newest_is_loaded() -> None:
    slow = SlowLoader()
    shelf = Shelf({1: slow})
    async with managed(shelf) as manager:
        for version in (1, 2, 3, 4):
            manager.aspire(aspired(version, (Role.HEAD, version, 10_000)))
        slow.go.set()
        await until(lambda: are_ready(manager, 4))
        assert shelf.made == [1, 4]


async def test_a_version_comes_back_after_it_was_drained() -> None:
    shelf = Shelf()
    async with managed(shelf) as manager:
        manager.aspire(head_and_pin(1, head=1, pin=1))
        await until(lambda: are_ready(manager, 1))
        with manager.handle(sid(1)):
            manager.aspire(head_and_pin(2, head=2, pin=2))
            await until(lambda: states(manager)[1] is VersionState.DRAINING)
            manager.aspire(head_and_pin(3, head=2, pin=1))
        await until(lambda: manager.route(MODEL).pin == sid(1))
        assert shelf.made == [1, 2, 1]


async def test_an_explicit_version_is_found_only_when_ready() -> None:
    slow = SlowLoader()
    async with managed(Shelf({2: slow})) as manager:
        manager.aspire(head_and_pin(1, head=2, pin=1))
        manager.synced()
        await until(lambda: are_ready(manager, 1))
        assert manager.find(MODEL, 1) == sid(1)
        for version in (2, 9):
            with pytest.raises(NotFound, match=f"no version {version} of 'shop'"):
                manager.find(MODEL, version)
        slow.go.set()


async def test_closing_frees_everything() -> None:
    loaders = {version: FakeLoader(SumServable()) for version in (1, 2)}
    async with managed(Shelf(loaders)) as manager:
        manager.aspire(head_and_pin(1, head=2, pin=1))
        await until(lambda: are_ready(manager, 1, 2))
    assert [loader.unloads for loader in loaders.values()] == [1, 1]
    assert not manager.is_ready()


def test_retired_and_failed_are_final() -> None:
    assert LEGAL_MOVES[VersionState.RETIRED] == LEGAL_MOVES[VersionState.FAILED] == ()
