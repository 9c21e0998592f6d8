"""Tells the registry how this replica's versions do: each second, and at once when a version's state changes."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Protocol

from martlet.errors import MartletError
from martlet.measurement import MeasurementBatch
from martlet.versions import ServableStatus
from serving_svc.health_meter import HealthMeter

_log = logging.getLogger(__name__)


class Reports(Protocol):
    """The part of a registry client that reporting needs."""

    async def report_replica(self, replica: str, statuses: Sequence[ServableStatus]) -> None:
        """Tells what a replica holds."""
        ...

    async def report_measurements(self, batch: MeasurementBatch) -> None:
        """Adds measurements; a repeated (producer, sequence) does no harm."""
        ...


class HealthReporter:
    """Reports until cancelled. Lives on one event loop.

    A batch that could not be delivered is sent again under its sequence number before a newer one is made.

    Args:
        producer: unique for each process, so that sequences never meet those of an earlier one.
        settle_seconds: changes within so short a time go out together.
        failed: told of each report that the registry did not take.
    """

    def __init__(
        self,
        registry: Reports,
        replica: str,
        producer: str,
        meter: HealthMeter,
        statuses: Callable[[], Sequence[ServableStatus]],
        *,
        interval_seconds: float = 1.0,
        settle_seconds: float = 0.01,
        failed: Callable[[], None] = lambda: None,
    ) -> None:
        self._failed = failed
        self._registry = registry
        self._replica = replica
        self._producer = producer
        self._meter = meter
        self._statuses = statuses
        self._interval_seconds = interval_seconds
        self._settle_seconds = settle_seconds
        self._changed = asyncio.Event()
        self._unsent: MeasurementBatch | None = None
        self._sequence = 0

    def changed(self) -> None:
        """A version's state changed: report soon."""
        self._changed.set()

    async def run(self) -> None:
        """Reports for ever. A registry that does not answer is tried again at the next turn."""
        while True:
            try:
                await self.report()
            except (MartletError, OSError) as error:
                self._failed()
                _log.warning("the registry does not take this replica's report: %s", error)
            await self._next_turn()

    async def report(self) -> None:
        """One report."""
        statuses = self._meter.with_counts(self._statuses())
        await self._registry.report_replica(self._replica, statuses)
        if self._unsent is None:
            measurements = self._meter.take()
            if not measurements:
                return
            self._sequence += 1
            self._unsent = MeasurementBatch(self._producer, self._sequence, measurements)
        await self._registry.report_measurements(self._unsent)
        self._unsent = None

    async def _next_turn(self) -> None:
        try:
            await asyncio.wait_for(self._changed.wait(), self._interval_seconds)
        except TimeoutError:
            return
        self._changed.clear()
        await asyncio.sleep(self._settle_seconds)
