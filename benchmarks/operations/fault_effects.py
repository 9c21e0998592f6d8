"""Carries faults out on a stage, each begun and taken away again by itself."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from benchmarks.operations.fault_clock import write_jump
from benchmarks.operations.fault_proxy import Road
from benchmarks.operations.fault_schedule import Fault, Kind
from benchmarks.operations.fault_stage import Stage
from benchmarks.training.crash_model import MODEL
from martlet.client.channel import CallPolicy
from martlet.client.rollout import RolloutClient
from martlet.errors import MartletError, NotFound

WHO: Final = "ada"
FILL_S: Final = 0.1
INSIST_S: Final = 20.0
ROADS: Final = {
    Kind.CORRUPT: Road.CORRUPT,
    Kind.REFUSING: Road.REFUSING,
    Kind.TRUNCATED: Road.TRUNCATING,
    Kind.SLOW: Road.SLOW,
    Kind.PARTITIONED: Road.HELD,
}


@dataclass(slots=True)
class Done:
    """What was carried out.

    Attributes:
        begun_s, ended_s: of each fault, seconds of the run.
        closed: fault number → when the operator's word was acknowledged; his reason names the fault.
        failed: faults that could not be carried out, and why.
    """

    begun_s: dict[int, float] = field(default_factory=dict)
    ended_s: dict[int, float] = field(default_factory=dict)
    closed: dict[int, float] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)


def reason(fault: Fault) -> str:
    """Why a lane was closed, as it stands in the journal."""
    return f"fault {fault.number}"


class Faults:
    """Lives on one event loop. `clock`: seconds of the run."""

    def __init__(self, stage: Stage, clock: Callable[[], float]) -> None:
        self._stage = stage
        self._clock = clock
        self.done = Done()

    async def carry_out(self, faults: tuple[Fault, ...]) -> None:
        """All of them, each at its time; returns when the last is over."""
        await asyncio.gather(*(self._one(fault) for fault in faults))

    async def _one(self, fault: Fault) -> None:
        await asyncio.sleep(max(0.0, fault.at_s - self._clock()))
        self.done.begun_s[fault.number] = self._clock()
        try:
            async with self._made(fault):
                await asyncio.sleep(fault.lasts_s)
        except Exception as error:  # noqa: BLE001  told in the report: a fault that did not come proves nothing
            self.done.failed[fault.number] = f"{type(error).__name__}: {error}"[:200]
        self.done.ended_s[fault.number] = self._clock()

    def _made(self, fault: Fault) -> "contextlib.AbstractAsyncContextManager[None]":
        if fault.kind in ROADS:
            return self._on_the_way(fault)
        made = {
            Kind.KILLED: self._killed,
            Kind.AWAY: self._killed,
            Kind.HUNG: self._hung,
            Kind.DISK_FULL: self._full,
            Kind.CLOCK: self._wrong_clock,
            Kind.LANE_CLOSED: self._closed,
        }
        return made[fault.kind](fault)

    @asynccontextmanager
    async def _killed(self, fault: Fault) -> AsyncIterator[None]:
        part = self._stage.parts.get(fault.target)
        if part is not None:
            await asyncio.to_thread(part.kill)
            try:
                yield
            finally:
                await asyncio.to_thread(part.start)
            return
        services = self._stage.named(fault.target)
        for service in services:
            service.held = True
            await asyncio.to_thread(service.kill)
        try:
            yield
        finally:
            for service in services:
                await asyncio.to_thread(service.start)
                service.held = False

    @asynccontextmanager
    async def _hung(self, fault: Fault) -> AsyncIterator[None]:
        """Processes that died meanwhile need not go on."""
        hung = self._stage.parts.get(fault.target) or self._stage.services[fault.target]
        hung.send(signal.SIGSTOP)
        try:
            yield
        finally:
            hung.send(signal.SIGCONT)

    @asynccontextmanager
    async def _on_the_way(self, fault: Fault) -> AsyncIterator[None]:
        links = self._stage.links_of(fault.target)
        for link in links:
            link.take(ROADS[fault.kind], fault.amount)
        try:
            yield
        finally:
            for link in links:
                link.take(Road.OPEN)

    @asynccontextmanager
    async def _full(self, fault: Fault) -> AsyncIterator[None]:
        disk = self._stage.disks[fault.target]

        async def keep_full() -> None:
            while True:
                await asyncio.to_thread(disk.fill)
                await asyncio.sleep(FILL_S)

        filling = asyncio.create_task(keep_full())
        try:
            yield
        finally:
            filling.cancel()
            await asyncio.gather(filling, return_exceptions=True)
            disk.free()

    @asynccontextmanager
    async def _wrong_clock(self, fault: Fault) -> AsyncIterator[None]:
        write_jump(self._stage.clocks[fault.target], fault.amount)
        try:
            yield
        finally:
            write_jump(self._stage.clocks[fault.target], 0.0)

    @asynccontextmanager
    async def _closed(self, fault: Fault) -> AsyncIterator[None]:
        """An operator closes the live lane: its versions are taken back, as by an alarm. Thawed if that froze it."""
        client = RolloutClient(self._stage.registries, policy=CallPolicy(timeout=5.0, tries=3))
        try:
            await self._close_lane(client, fault)
            yield
            await thaw(client)
        finally:
            await client.close()

    async def _close_lane(self, client: RolloutClient, fault: Fault) -> None:
        """Insists: there may be no lane to close just now, or no registry that leads."""
        until = self._clock() + INSIST_S
        while True:
            try:
                await client.abort(MODEL.name, WHO, reason(fault))
            except MartletError:
                if self._clock() > until:
                    raise
                await asyncio.sleep(0.25)
                continue
            self.done.closed[fault.number] = self._clock()
            return


async def thaw(client: RolloutClient) -> None:
    """Lets the model be published again if a second alarm froze it."""
    for _ in range(20):
        try:
            if (await client.show(MODEL.name, 0)).frozen:
                await client.thaw(MODEL.name, WHO, "a drill")
        except NotFound:
            return
        except MartletError:
            await asyncio.sleep(0.25)
            continue
        return
