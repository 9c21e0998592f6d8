"""What any event log does. Records are opaque bytes here; `martlet.wire.events` gives them meaning.

A partition belongs to one writer process. A position is a byte offset (or the broker's own sequence number) after a
record: reading from it gives the records behind it.
"""

from concurrent.futures import Future
from typing import NamedTuple, Protocol

from martlet.events import LogPosition


class Record(NamedTuple):
    """One record.

    Attributes:
        end: the position after this record.
        payload: its bytes.
    """

    end: int
    payload: bytes


class EventWriter(Protocol):
    """Appends to this process's partition. Thread-safe; order of calls is order in the log."""

    def offer(self, payload: bytes) -> bool:
        """Queues a record and never waits; False (counted by the caller) when the bounded queue is full."""
        ...

    def append(self, payload: bytes) -> "Future[LogPosition]":
        """Queues a record; the future is done when it and everything queued before it are on disk.

        Raises (through the future):
            OverCapacity: the bounded queue is full.
            OSError: the disk refused; nothing was acknowledged.
        """
        ...

    def close(self) -> None:
        """Writes what is queued and closes. Idempotent."""
        ...


class EventReader(Protocol):
    """Reads partitions. Only durable records are seen. Not thread-safe; blocking."""

    def partitions(self) -> tuple[str, ...]:
        """The partitions that exist, sorted."""
        ...

    def end(self, partition: str) -> int:
        """The position behind the last durable record; 0 for a partition that does not exist."""
        ...

    def read(self, partition: str, start: int, max_bytes: int) -> list[Record]:
        """Durable records from `start` on, at most about `max_bytes` (at least one record if there is one).

        Raises:
            Corrupt: a damaged record before the durable end (a torn tail is no damage: it is not durable).
        """
        ...
