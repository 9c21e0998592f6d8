"""Where events come from: cuts of the event log's partitions, and single records again when an outcome needs one."""

import logging
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from martlet.errors import Corrupt
from martlet.eventlog.port import EventReader, Record

logger = logging.getLogger(__name__)


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
        cache_bytes: most bytes of records kept for `payload`.
    """

    def __init__(self, tail: EventReader, lookup: EventReader, read_bytes: int, cache_bytes: int) -> None:
        self._tail = tail
        self._lookup = lookup
        self._read_bytes = read_bytes
        self._cache_bytes = cache_bytes
        self._cached_bytes = 0
        self._cache: dict[Place, bytes] = {}
        self._ahead: dict[str, tuple[int, deque[Record]]] = {}
        self._damaged: set[str] = set()

    def cut(self, positions: Mapping[str, int], limit: int) -> Cut:
        """The next records after `positions`, at most about `limit` of them, shared evenly among the partitions.

        A function of the positions and of what the log holds, not of what was read ahead.
        """
        waiting = {name: self._ahead_of(name, positions.get(name, 0), limit) for name in self._tail.partitions()}
        busy = sum(1 for records in waiting.values() if records)
        share = max(1, limit // max(1, busy))
        ranges = tuple(
            Range(name, positions.get(name, 0), records[min(share, len(records)) - 1].end)
            for name, records in waiting.items()
            if records
        )
        return Cut(ranges, tuple(name for name, records in waiting.items() if len(records) > share))

    def records(self, wanted: Range) -> Iterator[tuple[Place, bytes]]:
        """The records of a range, with their places.

        Raises:
            Corrupt: the log does not hold that range any more.
        """
        at = wanted.start
        while at < wanted.end:
            records = self._fill(wanted.partition, at)
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
        if payload is not None:
            return payload
        found = self._lookup.read(place.partition, place.start, 1)
        if not found:
            raise Corrupt(f"partition {place.partition} has no record at {place.start}")
        return found[0].payload

    def _fill(self, partition: str, start: int) -> deque[Record]:
        at, records = self._ahead.get(partition, (start, deque()))
        if at != start:
            records = deque()
        if not records:
            records.extend(self._read(partition, start))
        self._ahead[partition] = (start, records)
        return records

    def _ahead_of(self, partition: str, start: int, wanted: int) -> deque[Record]:
        """More than `wanted` records after a position, or all that are durable."""
        records = self._fill(partition, start)
        while records and len(records) <= wanted:
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
        self._cache[place] = payload
        self._cached_bytes += len(payload)
        while self._cached_bytes > self._cache_bytes:
            oldest = next(iter(self._cache))
            self._cached_bytes -= len(self._cache.pop(oldest))
