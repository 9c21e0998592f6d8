"""Records on their way to a broker: a bounded queue whose waiting callers can be told that it takes too long."""

import threading
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass

from martlet.errors import MartletError
from martlet.events import LogPosition


@dataclass(slots=True, eq=False)
class PendingRecord:
    """One record that is not known to be durable.

    Attributes:
        number: from 0, counted by this writer.
        since: when it was queued, in seconds of a monotonic clock.
        future: who waits for it; nobody for one that was only offered, or was told already.
    """

    number: int
    payload: bytes
    since: float
    future: "Future[LogPosition] | None"

    def settle(self, position: LogPosition) -> None:
        """It is durable."""
        if self.future is not None:
            with suppress(InvalidStateError):  # whoever waited has gone
                self.future.set_result(position)
            self.future = None

    def refuse(self, error: MartletError) -> None:
        """Whoever waits for it waits no longer; the record itself may go on."""
        if self.future is not None:
            with suppress(InvalidStateError):
                self.future.set_exception(error)
            self.future = None


class PendingQueue:
    """First in, first out; bounded in records and in bytes. Thread-safe."""

    def __init__(self, limit: int, limit_bytes: int) -> None:
        self._limit = limit
        self._limit_bytes = limit_bytes
        self._records: deque[PendingRecord] = deque()
        self._bytes = 0
        self._taken = 0
        self._closed = False
        self._changed = threading.Condition()

    @property
    def closed(self) -> bool:
        """Whether nothing more is taken."""
        return self._closed

    @property
    def count(self) -> int:
        """How many records are queued."""
        return len(self._records)

    def put(self, payload: bytes, since: float, future: "Future[LogPosition] | None") -> bool:
        """Queues a record; False when there is no room, or the queue is closed. Never waits."""
        with self._changed:
            full = len(self._records) >= self._limit or self._bytes + len(payload) > self._limit_bytes
            if self._closed or (full and self._records):
                return False
            self._records.append(PendingRecord(self._taken, payload, since, future))
            self._taken += 1
            self._bytes += len(payload)
            self._changed.notify()
            return True

    def gather(self, most: int, most_bytes: int) -> list[PendingRecord]:
        """Waits for records and takes the first of them, at least one; none when it is closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._records or self._closed)
            batch: list[PendingRecord] = []
            size = 0
            while self._records and len(batch) < most and (not batch or size < most_bytes):
                batch.append(self._records.popleft())
                size += len(batch[-1].payload)
            self._bytes -= size
            return batch

    def waiting(self) -> list[PendingRecord]:
        """All that is queued, oldest first."""
        with self._changed:
            return list(self._records)

    def pause(self, seconds: float) -> None:
        """Waits a while; less when the queue is closed meanwhile."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed, seconds)

    def close(self) -> None:
        """Takes nothing more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


def refuse_all(records: Iterable[PendingRecord], error: MartletError) -> None:
    """See `PendingRecord.refuse`."""
    for record in records:
        record.refuse(error)
