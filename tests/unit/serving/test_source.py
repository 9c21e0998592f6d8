"""What a replica holds after a set arrives, and the hand that watches."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from martlet.clock import ManualClock
from martlet.errors import Unavailable
from martlet.versions import AspiredModel, AspiredSet
from serving_svc.source import Held, RegistrySource, receive
from tests.unit.serving.fakes import MODEL, aspired, head_and_pin, until


def one(model: AspiredModel, lease_ms: int = 5000) -> AspiredSet:
    return AspiredSet((model,), lease_ms)


OLD, NEW = head_and_pin(3, head=2, pin=1), head_and_pin(4, head=3, pin=1)


def test_the_first_set_is_held() -> None:
    assert receive({}, one(OLD), 10.0) == {MODEL: Held(OLD, 15.0)}


def test_a_newer_revision_replaces() -> None:
    assert receive({MODEL: Held(OLD, 1.0)}, one(NEW), 10.0) == {MODEL: Held(NEW, 15.0)}


def test_a_newer_epoch_beats_a_higher_revision() -> None:
    fenced = head_and_pin(1, head=1, pin=1, epoch=2)
    assert receive({MODEL: Held(NEW, 1.0)}, one(fenced), 10.0)[MODEL].aspired is fenced


def test_an_older_set_neither_replaces_nor_renews() -> None:
    held = {MODEL: Held(NEW, 1.0)}
    assert receive(held, one(OLD), 10.0) == held


def test_the_same_set_renews_the_lease_only() -> None:
    same_order = aspired(4)
    assert receive({MODEL: Held(NEW, 1.0)}, one(same_order), 10.0) == {MODEL: Held(NEW, 15.0)}


def test_a_model_that_is_not_named_keeps_its_versions_but_not_its_lease() -> None:
    held = {MODEL: Held(NEW, 1.0)}
    assert receive(held, AspiredSet((), 5000), 10.0) == held


class Script:
    """A registry that sends what was put in, and breaks on None."""

    def __init__(self) -> None:
        self.sets: asyncio.Queue[AspiredSet | None] = asyncio.Queue()
        self.watches = 0

    async def watch(self, models: tuple[str, ...], replica: str) -> AsyncIterator[AspiredSet]:
        assert (models, replica) == ((), "serving-0")
        self.watches += 1
        while (received := await self.sets.get()) is not None:
            yield received
        raise Unavailable("the registry went away")


async def test_the_source_tells_changes_once_and_survives_the_registry() -> None:
    script, clock = Script(), ManualClock()
    told: list[int] = []
    syncs: list[int] = []
    source = RegistrySource(
        script,
        "serving-0",
        clock,
        aspire=lambda model: told.append(model.revision),
        synced=lambda: syncs.append(1),
        retry_seconds=0.0,
    )
    task = asyncio.create_task(source.run())
    assert not source.lease_open(MODEL)
    for received in (one(OLD), one(OLD), one(NEW), one(OLD), None, one(NEW)):
        script.sets.put_nowait(received)
    await until(lambda: len(syncs) == 5)
    assert told == [3, 4]
    assert script.watches == 2
    assert source.lease_open(MODEL)
    clock.advance(5.0)
    assert not source.lease_open(MODEL)
    script.sets.put_nowait(one(NEW))
    await until(lambda: source.lease_open(MODEL))
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


class Silent:
    """A registry that hangs after its first set, each time it is watched."""

    def __init__(self) -> None:
        self.watches = 0

    async def watch(self, models: tuple[str, ...], replica: str) -> AsyncIterator[AspiredSet]:
        self.watches += 1
        yield AspiredSet((), lease_ms=10)
        await asyncio.Event().wait()


async def test_a_registry_that_falls_silent_is_asked_again() -> None:
    """Its connection stays, as that of a process that is stopped: the lease is what tells."""
    silent = Silent()
    source = RegistrySource(
        silent, "serving-0", ManualClock(), aspire=lambda _model: None, synced=lambda: None, retry_seconds=0.0
    )
    task = asyncio.create_task(source.run())
    await until(lambda: silent.watches >= 3)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
