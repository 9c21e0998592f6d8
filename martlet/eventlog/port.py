"""What any event log does. Records are opaque bytes here; `martlet.wire.events` gives them meaning.

A partition belongs to one writer process. A position is a byte offset (or the broker's own sequence number) after a
record: reading from it gives the records behind it.
"""

from collections.abc import Mapping
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
            Unavailable: the broker has not answered for long; the record may yet get there (its event id tells).
            Conflict: another process writes this partition now.
        """
        ...

    def waiting(self) -> int:
        """About how many records are queued and not on their way yet. Cheap."""
        ...

    def close(self) -> None:
        """Writes what is queued and closes. Idempotent."""
        ...


class EventReader(Protocol):
    """Reads partitions. Only durable records are seen. Not thread-safe; blocking.

    A record that was erased, and a note that a broker's writer has made, come as payloads that `is_erased`.

    Every method of a broker's reader raises Unavailable when the broker does not answer.
    """

    def partitions(self) -> tuple[str, ...]:
        """The partitions that exist, sorted."""
        ...

    def begin(self, partition: str) -> int:
        """The position of the oldest record that is kept; 0 for a partition that does not exist."""
        ...

    def end(self, partition: str) -> int:
        """The position behind the last durable record; 0 for a partition that does not exist."""
        ...

    def read(self, partition: str, start: int, max_bytes: int) -> list[Record]:
        """Durable records from `start` on, at most about `max_bytes` (at least one record if there is one).

        Raises:
            Corrupt: a damaged record before the durable end (a torn tail is no damage: it is not durable), or records
                that a broker keeps no longer.
        """
        ...

    def close(self) -> None:
        """Lets go of what is open."""
        ...


class EventEraser(Protocol):
    """Erases records. Blocking; one at a time for a log."""

    def replace(self, partition: str, records: Mapping[int, bytes]) -> None:
        """Gives durable records, by where they start, another payload of the same length; durable when it returns.

        Doing it twice does no harm.

        Raises:
            InvalidInput: this log can only take records out, and a payload is another than what erasing leaves.
        """
        ...

    def finish(self) -> None:
        """Finishes what a crash broke off. Call it before the log is read."""
        ...


class EventLog(Protocol):
    """A whole log: gives out what writes, reads and erases. Thread-safe; does not wait for a broker."""

    def writer(self, partition: str, queue_limit: int) -> EventWriter:
        """The writer of a partition; at most `queue_limit` records wait in it.

        Raises:
            InvalidInput: this cannot name a partition.
            Conflict: it has a writer already (of a broker's partition the older writer learns it instead).
        """
        ...

    def reader(self) -> EventReader:
        """A reader of its own, for one thread."""
        ...

    def eraser(self) -> EventEraser:
        """An eraser.

        Raises:
            Conflict: this kind of log cannot erase single records.
        """
        ...

    def close(self) -> None:
        """Ends what writers and readers share; close them first."""
        ...
