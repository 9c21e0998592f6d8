"""Batching: who is here is scored together; bounds and deadlines are kept."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass

import pytest

from martlet.clock import ManualClock
from martlet.errors import DeadlinePassed, OverCapacity
from martlet.feature_spec import FeatureBlock
from martlet.versions import VersionState
from serving_svc.batcher import Batcher
from serving_svc.loader import ServableHandle
from serving_svc.manager import Manager
from serving_svc.servable import Scores
from tests.unit.serving.fakes import (
    MODEL,
    FakeLoader,
    Shelf,
    SlowLoader,
    SumServable,
    block_of,
    head_and_pin,
    managed,
    sid,
    until,
)


class GatedServable(SumServable):
    """Large blocks (more than 40 rows: no warm-up) wait at the gate."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = SlowLoader().go

    def predict(self, block: FeatureBlock) -> Scores:
        if block.rows > 40:
            assert self.gate.wait(10)
        return super().predict(block)


@dataclass
class Stage:
    batcher: Batcher
    servable: SumServable
    handle: ServableHandle
    clock: ManualClock
    manager: Manager

    def predict(self, *items: int, deadline: float | None = None) -> "asyncio.Task[Scores]":
        return asyncio.ensure_future(self.batcher.predict(self.handle, block_of(*items), deadline))


@asynccontextmanager
async def staged(servable: SumServable | None = None, *, pending: int = 1000) -> AsyncIterator[Stage]:
    servable, clock = servable or SumServable(), ManualClock()
    async with managed(Shelf({1: FakeLoader(servable)})) as manager:
        manager.aspire(head_and_pin(1, head=1, pin=1))
        await until(lambda: manager.statuses()[0].state is VersionState.READY)
        servable.batches.clear()
        with ExitStack() as stack:
            executor = stack.enter_context(ThreadPoolExecutor(1))
            handle = stack.enter_context(manager.handle(sid(1)))
            batcher = Batcher(executor, clock, max_batch_rows=64, max_pending_rows=pending, inline_rows=40)
            yield Stage(batcher, servable, handle, clock, manager)


async def test_requests_that_are_here_are_scored_together_and_each_gets_its_own() -> None:
    async with staged() as stage:
        results = await asyncio.gather(stage.predict(1, 2), stage.predict(3), stage.predict(4, 5, 6))
        assert [scores.logit.tolist() for scores in results] == [[1, 2], [3], [4, 5, 6]]
        assert stage.servable.batches == [6]


async def test_requests_that_arrive_within_a_few_turns_join() -> None:
    async with staged() as stage:
        first = stage.predict(1)
        for _ in range(5):
            await asyncio.sleep(0)
        second = stage.predict(2)
        await asyncio.gather(first, second)
        assert stage.servable.batches == [2]


async def test_a_lone_request_does_not_wait() -> None:
    async with staged() as stage:
        for item in (1, 2):
            assert (await stage.predict(item)).logit.tolist() == [item]
        assert stage.servable.batches == [1, 1]


async def test_a_batch_is_cut_at_its_limit_in_order_of_arrival() -> None:
    async with staged() as stage:
        requests = [stage.predict(*range(n, n + 20)) for n in range(0, 140, 20)]
        results = await asyncio.gather(*requests)
        assert [scores.logit.tolist() for scores in results] == [list(range(n, n + 20)) for n in range(0, 140, 20)]
        assert stage.servable.batches == [60, 60, 20]


async def test_a_block_above_the_limit_is_run_alone() -> None:
    async with staged() as stage:
        scores = await stage.predict(*range(100))
        assert scores.logit.tolist() == list(range(100))


async def test_while_a_large_batch_runs_the_loop_lives_and_the_next_gathers() -> None:
    servable = GatedServable()
    async with staged(servable) as stage:
        large = stage.predict(*range(50))
        await asyncio.sleep(0.01)
        small = [stage.predict(n) for n in range(3)]
        await asyncio.sleep(0.01)
        assert not any(request.done() for request in small)
        servable.gate.set()
        await asyncio.gather(large, *small)
        assert servable.batches == [50, 3]


async def test_beyond_the_bound_requests_are_refused_with_a_hint() -> None:
    servable = GatedServable()
    async with staged(servable, pending=60) as stage:
        large = stage.predict(*range(50))
        await asyncio.sleep(0)
        with pytest.raises(OverCapacity, match="50 item rows are waiting, at most 60 may") as refused:
            await stage.predict(*range(11))
        assert refused.value.retry_after_ms > 0
        servable.gate.set()
        await large
        assert (await stage.predict(*range(11))).logit.shape == (11,)


async def test_what_is_too_late_is_not_computed() -> None:
    async with staged() as stage:
        stage.clock.advance(10)
        late, timely = stage.predict(1, 2, deadline=10.0), stage.predict(3, deadline=10.1)
        with pytest.raises(DeadlinePassed):
            await late
        assert (await timely).logit.tolist() == [3]
        assert stage.servable.batches == [1]


async def test_cancelled_requests_are_not_computed_and_leave_no_trace() -> None:
    async with staged(pending=4) as stage:
        cancelled = stage.predict(1, 2, 3)
        asyncio.get_running_loop().call_soon(cancelled.cancel)
        with suppress(asyncio.CancelledError):
            await cancelled
        assert (await stage.predict(1, 2, 3, 4)).logit.shape == (4,)
        assert stage.servable.batches == [4]


async def test_an_error_reaches_everybody_in_the_batch_and_nobody_else() -> None:
    class Moody(SumServable):
        def predict(self, block: FeatureBlock) -> Scores:
            if block.rows == 3:
                raise RuntimeError("no threes")
            return super().predict(block)

    async with staged(Moody()) as stage:
        results = await asyncio.gather(stage.predict(1), stage.predict(2, 3), return_exceptions=True)
        assert [str(result) for result in results] == ["no threes", "no threes"]
        assert (await stage.predict(1)).logit.tolist() == [1]


async def test_a_running_batch_holds_its_version_even_if_every_caller_left() -> None:
    servable = GatedServable()
    async with staged(servable) as stage:
        with stage.manager.handle(sid(1)) as handle:
            abandoned = asyncio.ensure_future(stage.batcher.predict(handle, block_of(*range(50)), None))
            ran_aside = asyncio.ensure_future(stage.batcher.run(handle, 50, lambda: servable.gate.wait(10), None))
            await asyncio.sleep(0.01)
            for task in (abandoned, ran_aside):
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
        stage.handle.leave()
        stage.manager.aspire(head_and_pin(2, head=2, pin=2))
        await until(lambda: stage.manager.route(MODEL).pin == sid(2))
        await asyncio.sleep(0.01)
        assert stage.manager.statuses()[0].state is VersionState.DRAINING
        servable.gate.set()
        await until(lambda: stage.manager.statuses()[-1].state is VersionState.RETIRED)
        stage.handle.extend()


async def test_work_that_cannot_be_batched_keeps_the_same_bounds() -> None:
    async with staged(pending=60) as stage:
        assert await stage.batcher.run(stage.handle, 5, lambda: "inline", None) == "inline"
        assert await stage.batcher.run(stage.handle, 50, lambda: "aside", None) == "aside"
        with pytest.raises(DeadlinePassed):
            await stage.batcher.run(stage.handle, 5, lambda: "late", stage.clock.monotonic())
