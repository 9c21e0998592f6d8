"""The watched stream: at once, on each change, within each lease; a slow watcher skips to the newest."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from martlet.errors import NotReady
from martlet.versions import AspiredModel, AspiredSet
from registry_svc.watchers import Watchers

LONG_MS = 600_000


def aspired(revision: int, *models: str, lease_ms: int = LONG_MS) -> AspiredSet:
    return AspiredSet(tuple(AspiredModel(m, 0, revision, "", ()) for m in models or ("shop",)), lease_ms)


async def soon(watch: AsyncIterator[AspiredSet]) -> AspiredSet:
    return await asyncio.wait_for(anext(watch), 2.0)


def watchers(first: AspiredSet) -> Watchers:
    return Watchers(asyncio.get_running_loop(), first)


async def test_the_set_comes_at_once_and_after_a_change() -> None:
    here = watchers(aspired(1))
    watch = here.watch(())
    assert await soon(watch) == aspired(1)
    waiting = asyncio.ensure_future(soon(watch))
    await asyncio.sleep(0)
    assert not waiting.done()
    await asyncio.to_thread(here.publish, aspired(2))
    assert await waiting == aspired(2)


async def test_the_same_set_comes_again_within_the_lease() -> None:
    watch = watchers(aspired(1, lease_ms=30)).watch(())
    first = await soon(watch)
    assert [await soon(watch) for _ in range(3)] == [first] * 3


async def test_a_slow_watcher_gets_only_the_newest() -> None:
    here = watchers(aspired(1))
    watch = here.watch(())
    await soon(watch)
    for revision in range(2, 50):
        here.publish(aspired(revision))
    await asyncio.sleep(0.01)
    assert await soon(watch) == aspired(49)


async def test_a_change_during_a_slow_send_is_not_slept_over() -> None:
    """The set of the send is old by the time it ends; the next one must follow at once, not with the next lease."""
    here = watchers(aspired(1))
    watch = here.watch(())
    assert await soon(watch) == aspired(1)
    here.publish(aspired(2))
    await asyncio.sleep(0.01)
    assert await soon(watch) == aspired(2)


async def test_each_watcher_gets_the_models_it_names() -> None:
    here = watchers(aspired(1, "shop", "feed", "ads"))
    assert [model.model for model in (await soon(here.watch({"ads", "shop"}))).models] == ["shop", "ads"]
    assert (await soon(here.watch({"nobody"}))) == replace(aspired(1), models=())


async def test_closing_ends_every_watch_those_that_wait_too() -> None:
    here = watchers(aspired(1))
    watches = [here.watch(()) for _ in range(3)]
    for watch in watches:
        await soon(watch)
    waiting = [asyncio.ensure_future(soon(watch)) for watch in watches]
    await asyncio.sleep(0)
    here.close()
    for future in waiting:
        with pytest.raises(NotReady):
            await future
    with pytest.raises(NotReady):
        await soon(here.watch(()))
