"""Where events come from: cuts of the event log's partitions, and single records again when an outcome needs one."""

import logging
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Final, NamedTuple, TypeVar

from martlet.errors import Corrupt, NotReady, Unavailable
from martlet.eventlog.port import EventReader, Record

logger = logging.getLogger(__name__)

Read = TypeVar("Read")

_PAUSE: Final = 1.0
_LOOKED_UP_BYTES: Final = 1 << 20  # read at once where records are asked for one after another
_ENTRY_BYTES: Final = 288  # memory of a kept record beside its payload: its place, headers, an entry of a growing dict


class Place(NamedTuple):
    """Where a record begins."""

    partition: str
    start: int


@dataclass(frozen=True, slots=True)
class Range:
    """Records of one partition from `start` up to `end`."""

    partition: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Cut:
    """What one step reads.

    Attributes:
        ranges: in the order in which they are read.
        behind: partitions that had more durable records behind their range. The others do not hold event time back.
    """

    ranges: tuple[Range, ...]
    behind: tuple[str, ...]


class EventSource:
    """Reads ahead, keeps what is likely to be asked for again. Not thread-safe; blocking.

    Args:
        tail: reads partitions forward.
        lookup: reads single records; apart, so that a look back does not disturb reading forward.
        read_bytes: most bytes read from one partition at once.
        cache_bytes: most memory that records kept for `payload` take, bytes.
        weigh: about how much work a record will make (see `cut`); 1 for each, if nothing is given.
        pause: waits so many seconds while the log does not answer; True says that it is to be waited no longer.
    """

    def __init__(
        self,
        tail: EventReader,
        lookup: EventReader,
        read_bytes: int,
        cache_bytes: int,
        weigh: Callable[[bytes], int] | None = None,
        pause: Callable[[float], bool] = lambda _: True,
    ) -> None:
        self._pause = pause
        self._weigh = weigh
        self._tail = tail
        self._lookup = lookup
        self._read_bytes = read_bytes
        self._cache_bytes = cache_bytes
        self._cached_bytes = 0
        self._cache: OrderedDict[Place, bytes] = OrderedDict()
        self._ahead: dict[str, tuple[int, deque[Record]]] = {}
        self._found: dict[str, tuple[int, dict[int, bytes]]] = {}
        self._damaged: set[str] = set()
        self._cut_records, self._cut_span = 0, 0

    @property
    def record_span(self) -> float:
        """Mean difference of two records' positions, of what was cut; 1 before anything was. From any thread."""
        records = self._cut_records
        return max(1.0, self._cut_span / records) if records else 1.0

    def cut(self, positions: Mapping[str, int], limit: int, weight: int = 0) -> Cut:
        """The next records after `positions`, at most about `limit` of them, shared evenly among the partitions.

        If `weight` is given, they weigh about so much, too. A function of the positions and of what the log holds, not
        of what was read ahead.

        Raises:
            NotReady: the log does not answer.
        """
        try:
            waiting = {
                name: self._ahead_of(name, positions.get(name, 0), limit, weight) for name in self._tail.partitions()
            }
        except Unavailable as error:
            raise NotReady(str(error)) from error
        busy = sum(1 for records in waiting.values() if records)
        share, weight = max(1, limit // max(1, busy)), weight // max(1, busy)
        counts = {name: self._count(records, share, weight) for name, records in waiting.items() if records}
        ranges = tuple(
            Range(name, positions.get(name, 0), waiting[name][count - 1].end) for name, count in counts.items()
        )
        self._cut_records += sum(counts.values())
        self._cut_span += sum(wanted.end - wanted.start for wanted in ranges)
        return Cut(ranges, tuple(name for name, count in counts.items() if len(waiting[name]) > count))

    def ends(self) -> dict[str, int]:
        """Partition → the position behind its last durable record.

        Raises:
            NotReady: the log does not answer.
        """
        try:
            return {name: self._tail.end(name) for name in self._tail.partitions()}
        except Unavailable as error:
            raise NotReady(str(error)) from error

    def records(self, wanted: Range) -> Iterator[tuple[Place, bytes]]:
        """The records of a range, with their places. Waits where the log does not answer: a step is done as a whole.

        Raises:
            Corrupt: the log does not hold that range any more.
            Unavailable: it does not answer, and `pause` waits no longer.
        """
        at = wanted.start
        while at < wanted.end:
            records = self._insisted(partial(self._fill, wanted.partition, at))
            if not records:
                raise Corrupt(f"partition {wanted.partition} ends at {at}, before {wanted.end}")
            while records and at < wanted.end:
                record = records.popleft()
                place = Place(wanted.partition, at)
                at = record.end
                self._ahead[wanted.partition] = (at, records)
                self._keep(place, record.payload)
                yield place, record.payload

    def payload(self, place: Place) -> bytes:
        """One record again.

        Raises:
            Corrupt: it is not there.
        """
        payload = self._cache.get(place)
        return self._looked_up(place) if payload is None else payload

    def _looked_up(self, place: Place) -> bytes:
        """What is not kept is mostly asked for in the order of the log, as windows end: then more is read at once."""
        behind, found = self._found.get(place.partition, (0, {}))
        if place.start not in found:
            follows = 0 <= place.start - behind < _LOOKED_UP_BYTES
            size = _LOOKED_UP_BYTES if follows else 1
            records = self._insisted(lambda: self._lookup.read(place.partition, place.start, size))
            if not records:
                raise Corrupt(f"partition {place.partition} has no record at {place.start}")
            starts = [place.start, *(record.end for record in records)]
            found = {start: record.payload for start, record in zip(starts, records, strict=False)}
            self._found[place.partition] = (records[-1].end, found)
        return found[place.start]

    def _insisted(self, read: Callable[[], Read]) -> Read:
        """Reads until the log answers."""
        while True:
            try:
                return read()
            except Unavailable as error:
                logger.warning("a step waits for the event log: %s", error)
                if self._pause(_PAUSE):
                    raise

    def _count(self, records: deque[Record], most: int, weight: int) -> int:
        """How many records are taken: at least one, and no more once they weigh enough."""
        if self._weigh is None or not weight:
            return min(most, len(records))
        for number, record in enumerate(islice(records, most), 1):
            weight -= self._weigh(record.payload)
            if weight <= 0:
                return number
        return min(most, len(records))

    def _fill(self, partition: str, start: int) -> deque[Record]:
        at, records = self._ahead.get(partition, (start, deque()))
        if at != start:
            records = deque()
        if not records:
            records.extend(self._read(partition, start))
        self._ahead[partition] = (start, records)
        return records

    def _ahead_of(self, partition: str, start: int, wanted: int, weight: int) -> deque[Record]:
        """More records after a position than `wanted` or than weigh enough, or all that are durable."""
        records = self._fill(partition, start)
        while records and self._count(records, wanted, weight) == len(records):
            found = self._read(partition, records[-1].end)
            if not found:
                break
            records.extend(found)
        return records

    def _read(self, partition: str, start: int) -> list[Record]:
        """A damaged partition stands still; the others go on."""
        try:
            found = self._tail.read(partition, start, self._read_bytes)
        except Corrupt as error:
            if partition not in self._damaged:
                logger.error("the event log cannot be read on: %s", error)  # noqa: TRY400  the sentence says it all
            self._damaged.add(partition)
            return []
        self._damaged.discard(partition)
        return found

    @property
    def damaged(self) -> frozenset[str]:
        """Partitions that cannot be read on."""
        return frozenset(self._damaged)

    def _keep(self, place: Place, payload: bytes) -> None:
        before = self._cache.get(place)  # learning went back, and reads it again
        self._cached_bytes -= 0 if before is None else _ENTRY_BYTES + len(before)
        self._cache[place] = payload
        self._cached_bytes += _ENTRY_BYTES + len(payload)
        while self._cached_bytes > self._cache_bytes:
            self._cached_bytes -= _ENTRY_BYTES + len(self._cache.popitem(last=False)[1])
