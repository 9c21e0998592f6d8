"""Appends to a topic: each batch is a transaction of a producer that bears the partition's name.

Kafka fences producers by that name: of two writers of a partition the newer one goes on. A transaction whose end is in
doubt is ended first, by the same producer; so no record stands twice.
"""

from collections.abc import Sequence
from enum import Enum
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import AdminClient

from martlet.eventlog.kafka.topics import CALL_SECONDS, MILLISECONDS, Settings, Topics, make_topic, told
from martlet.eventlog.pending import PendingRecord

ENVELOPE_BYTES: Final = 4096  # of a message, beside the record


class _At(Enum):
    """Where the producer stands between two calls."""

    BEGINNING = 0
    READY = 1
    COMMITTING = 2
    ABORTING = 3


class KafkaAppender:
    """See `martlet.eventlog.broker_writer.Appender`."""

    def __init__(self, client: Settings, topics: Topics, partition: str, record_bytes: int) -> None:
        self._client = client
        self._topics = topics
        self._partition = partition
        self._topic = topics.topic(partition)
        self._record_bytes = record_bytes
        self._producer: Any = None
        self._at = _At.BEGINNING
        self._ends: list[int] = []

    def append(self, records: Sequence[PendingRecord]) -> list[int]:
        """Appends records."""
        with told(f"partition {self._partition}"):
            if self._at is _At.BEGINNING:
                self._begin()
            if self._at is _At.ABORTING:
                self._abort()
            if self._at is _At.READY:
                self._send(records)
            self._commit()
        return self._ends

    def close(self) -> None:
        """Lets go of the producer; what was not committed was never acknowledged."""
        self._producer = None

    def _begin(self) -> None:
        """Makes the producer: whoever bore its name before is fenced, and its open transaction is taken back."""
        make_topic(AdminClient(dict(self._client)), self._topics, self._partition)
        size = self._record_bytes + ENVELOPE_BYTES
        own = {
            "transactional.id": self._topic,
            "acks": "all",
            "linger.ms": 1,
            "message.max.bytes": size,
            "transaction.timeout.ms": 60 * MILLISECONDS,
        }
        self._producer = Producer({**self._client, **own})
        self._producer.init_transactions(CALL_SECONDS)
        self._at = _At.READY

    def _send(self, records: Sequence[PendingRecord]) -> None:
        self._ends = []
        self._guarded(self._producer.begin_transaction)
        self._at = _At.COMMITTING
        for record in records:
            while True:
                try:
                    self._producer.produce(self._topic, record.payload, partition=0, on_delivery=self._delivered)
                except BufferError:  # the client's own queue is full
                    self._producer.poll(CALL_SECONDS)
                else:
                    break

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            self._ends.append(int(message.offset() or 0) + 1)

    def _commit(self) -> None:
        self._guarded(lambda: self._producer.commit_transaction(CALL_SECONDS))
        self._at = _At.READY

    def _abort(self) -> None:
        self._guarded(lambda: self._producer.abort_transaction(CALL_SECONDS))
        self._at = _At.READY

    def _guarded(self, call: Any) -> None:
        """Notes what has to be done before the next try."""
        try:
            call()
        except KafkaException as error:
            fault = error.args[0]
            if fault.fatal():
                self._at = _At.BEGINNING
            elif fault.txn_requires_abort():
                self._at = _At.ABORTING
            raise
