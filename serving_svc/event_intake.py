"""Events from clients: outcomes and items. What is acknowledged is on disk; what is repeated is written once."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future

from martlet.clock import Clock
from martlet.errors import InvalidInput, Unavailable
from martlet.eventlog.port import EventWriter
from martlet.events import Event, ItemDelete, ItemUpsert, LogPosition, Outcome
from martlet.feature_encoding import ItemId, Value
from serving_svc.item_store import ItemStore

RECENT_IDS = 100_000
MAX_EVENTS = 10_000  # of one request
MAX_EVENT_BYTES = 1 << 20
LONGEST_TEXT = 1024  # characters of an id or a type: ids are remembered
OUTCOME, UPSERT, DELETE = "outcome", "item_upsert", "item_delete"
Append = Future[LogPosition]


class EventIntake:
    """Appends events to this replica's partition. Lives on one event loop.

    An outcome whose event id is among the last `recent_ids` of this process is not written again; its repetition is
    acknowledged when the first one is on disk. The joiner recognises repetitions that came further apart or elsewhere.

    Args:
        taken: told of which kind (`outcome`, `item_upsert`, `item_delete`) how many events were acknowledged.
    """

    def __init__(
        self,
        writer: EventWriter,
        encode: Callable[[Event], bytes],
        items: ItemStore,
        clock: Clock,
        recent_ids: int = RECENT_IDS,
        taken: Callable[[str, int], None] = lambda _kind, _count: None,
    ) -> None:
        self._taken = taken
        self._writer = writer
        self._encode = encode
        self._items = items
        self._clock = clock
        self._recent_ids = recent_ids
        self._recent: OrderedDict[str, Append | LogPosition] = OrderedDict()
        self._last_item_time_us = 0

    async def record_outcomes(self, outcomes: Sequence[Outcome]) -> LogPosition:
        """Writes outcomes; gives the position behind the last of them.

        Raises:
            InvalidInput: there are none or too many, or a text is too long; nothing was written.
            OverCapacity: the log's queue is full; sending all of them again does no harm.
        """
        if not outcomes:
            raise InvalidInput("outcomes is empty")
        _check_count(len(outcomes))
        for outcome in outcomes:
            _check_texts(outcome)
        appends = [self._append_once(outcome) for outcome in outcomes]
        position = await _durable(appends)
        for outcome in outcomes:
            if outcome.event_id in self._recent:  # a position is a tenth of a future's size
                self._recent[outcome.event_id] = position
        self._taken(OUTCOME, len(outcomes))
        return position

    async def upsert_items(self, model: str, items: Sequence[tuple[ItemId, Mapping[str, Value]]]) -> LogPosition:
        """Announces items; the attributes given replace those known. Once written they hold in this replica at once."""
        if not model or not items:
            raise InvalidInput("model is empty" if not model else "items is empty")
        now_us = self._next_item_time()
        return await self._write_items(UPSERT, [ItemUpsert(model, item, values, now_us) for item, values in items])

    async def delete_items(self, model: str, items: Sequence[ItemId]) -> LogPosition:
        """Withdraws items."""
        if not model or not items:
            raise InvalidInput("model is empty" if not model else "item_ids is empty")
        now_us = self._next_item_time()
        return await self._write_items(DELETE, [ItemDelete(model, item, now_us) for item in items])

    async def _write_items(self, kind: str, events: Sequence[ItemUpsert | ItemDelete]) -> LogPosition:
        _check_count(len(events))
        payloads = [self._encode(event) for event in events]
        largest = max(map(len, payloads))
        if largest > MAX_EVENT_BYTES:
            raise InvalidInput(f"an event of {largest} bytes is over the limit of {MAX_EVENT_BYTES}")
        position = await _durable([self._writer.append(payload) for payload in payloads])
        for event in events:
            self._items.apply(event)
        self._taken(kind, len(events))
        return position

    def _append_once(self, outcome: Outcome) -> Append | LogPosition:
        known = self._recent.get(outcome.event_id)
        if known is not None and not _failed(known):
            return known
        append = self._writer.append(self._encode(outcome))
        self._recent[outcome.event_id] = append
        if len(self._recent) > self._recent_ids:
            self._recent.popitem(last=False)
        return append

    def _next_item_time(self) -> int:
        """Event time that never repeats here, so that of two changes of an item the later one wins."""
        self._last_item_time_us = max(self._clock.now_us(), self._last_item_time_us + 1)
        return self._last_item_time_us


def _check_count(events: int) -> None:
    if events > MAX_EVENTS:
        raise InvalidInput(f"{events} events are too many for one request: at most {MAX_EVENTS} are taken")


def _check_texts(outcome: Outcome) -> None:
    item = outcome.item_id if isinstance(outcome.item_id, str) else ""
    longest = max(len(outcome.event_id), len(outcome.prediction_id), len(outcome.type), len(item))
    if longest > LONGEST_TEXT:
        raise InvalidInput(f"an outcome's text of {longest} characters is over the limit of {LONGEST_TEXT}")


async def _durable(appends: Sequence[Append | LogPosition]) -> LogPosition:
    """Waits for all of them. The log is written in order, so mostly the last one is all there is to wait for.

    Raises:
        OverCapacity, Unavailable: the log did not take all of them.
    """
    try:
        positions = [await _position(append) for append in reversed(appends)]
    except OSError as error:
        raise Unavailable(f"the event log cannot be written: {error.strerror}") from error
    return max(positions, key=lambda position: position.offset)


async def _position(append: Append | LogPosition) -> LogPosition:
    if isinstance(append, LogPosition):
        return append
    if append.done():
        return append.result()
    # A caller that goes away must not cancel an append that others wait for.
    return await asyncio.shield(asyncio.wrap_future(append))


def _failed(append: Append | LogPosition) -> bool:
    return isinstance(append, Future) and append.done() and append.exception() is not None
