"""A partition's writer over a broker: gathers what is queued, appends it, and acknowledges what the broker has.

While the broker is away records wait, in order, in a bounded queue; once it is full, they are refused. Whoever has
waited too long is told so, but the record is kept and goes out as soon as it can.
"""

import logging
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final, Protocol

from martlet.clock import Clock
from martlet.errors import InvalidInput, MartletError, OverCapacity, Unavailable
from martlet.eventlog.names import check_partition
from martlet.eventlog.pending import PendingQueue, PendingRecord, refuse_all
from martlet.events import LogPosition

logger = logging.getLogger(__name__)

BATCH_RECORDS: Final = 512
BATCH_BYTES: Final = 4 << 20
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 1.0


class Appender(Protocol):
    """How one kind of broker appends to one partition. For one thread; blocking."""

    def append(self, records: Sequence[PendingRecord]) -> list[int]:
        """Appends records behind all before them; returns the position behind each. Takes the partition when it begins.

        Raises:
            Unavailable: some of them may not be durable. Called again with the same ones, it appends the others alone.
            Conflict, Corrupt, InvalidInput: it will never work again, and says why.
        """
        ...

    def close(self) -> None:
        """Lets go of the broker."""
        ...


@dataclass(frozen=True, slots=True)
class WriterLimits:
    """What a writer keeps while its broker is slow or away.

    Attributes:
        records, queue_bytes: most that waits; beyond, records are refused.
        record_bytes: largest record.
        patience_seconds: who waits longer for an acknowledgement is told that the broker does not answer.
        close_seconds: how long closing waits for the broker to take what is queued.
    """

    records: int = 65536
    queue_bytes: int = 128 << 20
    record_bytes: int = 1_000_000
    patience_seconds: float = 10.0
    close_seconds: float = 5.0


class BrokerEventWriter:
    """See `martlet.eventlog.port.EventWriter`. Thread-safe. Made while the broker is away, it waits for it."""

    def __init__(self, partition: str, appender: Appender, limits: WriterLimits, clock: Clock) -> None:
        check_partition(partition)
        self._partition = partition
        self._appender = appender
        self._limits = limits
        self._clock = clock
        self._queue = PendingQueue(limits.records, limits.queue_bytes)
        self._broken: MartletError | None = None
        self._close_by = float("inf")
        self._thread = threading.Thread(target=self._run, name=f"log-{partition}", daemon=True)
        self._thread.start()

    @property
    def partition(self) -> str:
        """The partition's name."""
        return self._partition

    def offer(self, payload: bytes) -> bool:
        """Queues a record and never waits; False when there is no room, or the log takes nothing more."""
        if self._broken is not None or len(payload) > self._limits.record_bytes:
            return False
        return self._queue.put(payload, self._clock.monotonic(), None)

    def append(self, payload: bytes) -> "Future[LogPosition]":
        """Queues a record; the future is done when the broker has it and everything queued before it."""
        future: Future[LogPosition] = Future()
        refusal = self._refusal(len(payload))
        if refusal is None and not self._queue.put(payload, self._clock.monotonic(), future):
            refusal = OverCapacity(f"partition {self._partition}: the queue is full")
        if refusal is not None:
            future.set_exception(refusal)
        return future

    def waiting(self) -> int:
        """How many records are queued behind those that the broker is asked to take."""
        return self._queue.count

    def close(self) -> None:
        """Appends what is queued, as far as the broker takes it in time, and closes."""
        self._close_by = min(self._close_by, self._clock.monotonic() + self._limits.close_seconds)
        self._queue.close()
        self._thread.join()

    def _refusal(self, size: int) -> MartletError | None:
        if size > self._limits.record_bytes:
            return InvalidInput(f"a record of {size} bytes is over the limit of {self._limits.record_bytes}")
        if self._queue.closed:
            return Unavailable(f"partition {self._partition} is closed")
        return self._broken

    def _run(self) -> None:
        while batch := self._queue.gather(BATCH_RECORDS, BATCH_BYTES):
            try:
                self._deliver(batch)
            except MartletError as error:
                self._break(batch, error)
        self._appender.close()

    def _deliver(self, batch: Sequence[PendingRecord]) -> None:
        """Appends a batch, however long it takes.

        Raises:
            MartletError: it never will be.
        """
        pause = 0.0
        while True:
            if self._broken is not None:
                raise self._broken
            try:
                ends = self._appender.append(batch)
            except Unavailable as error:
                if not pause:
                    logger.warning("partition %s of the event log waits: %s", self._partition, error)
                pause = min(_LONGEST_PAUSE, pause * 2 or _FIRST_PAUSE)
                self._wait(batch, error, pause)
            else:
                for record, end in zip(batch, ends, strict=True):
                    record.settle(LogPosition(self._partition, end))
                return

    def _wait(self, batch: Sequence[PendingRecord], error: Unavailable, seconds: float) -> None:
        now = self._clock.monotonic()
        if now >= self._close_by:
            raise error
        old = now - self._limits.patience_seconds
        told = Unavailable(f"the event log does not answer; the record may still get there: {error}")
        refuse_all((record for record in (*batch, *self._queue.waiting()) if record.since <= old), told)
        if self._queue.closed:  # then the queue's pause would not wait
            threading.Event().wait(min(seconds, _FIRST_PAUSE))
        else:
            self._queue.pause(seconds)

    def _break(self, batch: Sequence[PendingRecord], error: MartletError) -> None:
        """Nothing goes to this partition any more."""
        if self._broken is None:
            lost = len(batch) + len(self._queue.waiting())
            logger.error("partition %s takes nothing more, %d records are lost: %s", self._partition, lost, error)
        self._broken = error
        refuse_all(batch, error)
