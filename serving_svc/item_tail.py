"""Reads the items that any writer announced from the event log into the item store, from the beginning and for ever."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Executor

from prometheus_client import CollectorRegistry, Counter

from martlet.errors import Corrupt, MartletError, Unavailable
from martlet.eventlog.port import EventReader
from serving_svc.item_store import ItemEvent, ItemStore

_log = logging.getLogger(__name__)

READ_BYTES = 1 << 20
APPLIED_AT_ONCE = 256


class ItemTail:
    """Tails the log until cancelled: reads in the executor, applies on the event loop a few at a time.

    Args:
        decode: gives the item event in a payload, or None for another kind of event (which must be cheap).
    """

    def __init__(
        self,
        reader: EventReader,
        decode: Callable[[bytes], ItemEvent | None],
        store: ItemStore,
        executor: Executor,
        collectors: CollectorRegistry,
        *,
        poll_seconds: float = 0.1,
    ) -> None:
        self._reader = reader
        self._decode = decode
        self._store = store
        self._executor = executor
        self._poll_seconds = poll_seconds
        self._positions: dict[str, int] = {}
        self._caught_up = False
        self._bad = Counter(
            "martlet_serving_bad_item_events", "Item events that could not be read", registry=collectors
        )

    @property
    def caught_up(self) -> bool:
        """Whether the end of the log was reached once."""
        return self._caught_up

    async def run(self) -> None:
        """Tails for ever."""
        loop = asyncio.get_running_loop()
        while True:
            progressed, events = await loop.run_in_executor(self._executor, self._read)
            for start in range(0, len(events), APPLIED_AT_ONCE):
                for event in events[start : start + APPLIED_AT_ONCE]:
                    self._store.apply(event)
                await asyncio.sleep(0)
            if not progressed:
                self._caught_up = True
                await asyncio.sleep(self._poll_seconds)

    def _read(self) -> tuple[bool, list[ItemEvent]]:
        """One round over all partitions: whether anything was read, and the item events in it."""
        events: list[ItemEvent] = []
        progressed = False
        for partition in self._partitions():
            progressed |= self._read_partition(partition, events)
        return progressed, events

    def _partitions(self) -> tuple[str, ...]:
        try:
            return self._reader.partitions()
        except (Unavailable, OSError) as error:
            _log.warning("the event log cannot be listed, trying again: %s", error)
            return ()

    def _read_partition(self, partition: str, events: list[ItemEvent]) -> bool:
        start = self._positions.get(partition, 0)
        try:
            records = self._reader.read(partition, start, READ_BYTES)
        except (Corrupt, Unavailable, OSError) as error:
            _log.warning("partition %s of the event log cannot be read at %d: %s", partition, start, error)
            return False
        for record in records:
            try:
                event = self._decode(record.payload)
            except MartletError as error:
                self._bad.inc()
                _log.warning("partition %s, before %d: not a readable item event: %s", partition, record.end, error)
                continue
            if event is not None:
                events.append(event)
        if records:
            self._positions[partition] = records[-1].end
        return bool(records)
