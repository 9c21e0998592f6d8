"""Reads partitions from their topics, without a consumer group: positions are kept by who reads."""

import time
from collections.abc import Sequence
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from martlet.errors import Corrupt, Unavailable
from martlet.eventlog.erasure import erased
from martlet.eventlog.kafka.topics import CALL_SECONDS, Settings, Topics, told
from martlet.eventlog.port import Record

_GONE: Final = erased(1)
_AT_ONCE: Final = 500
_WAIT_SECONDS: Final = 0.5


class KafkaReader:
    """See `martlet.eventlog.port.EventReader`. A position is the offset of the next message.

    Offsets that hold no committed record (the marks of transactions, what was taken back) come as erased records.
    """

    def __init__(self, client: Settings, topics: Topics) -> None:
        self._client = {
            **client,
            "group.id": f"{topics.name}-reader",  # never joined: partitions are assigned, nothing is committed
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "isolation.level": "read_committed",
            "auto.offset.reset": "error",
            "enable.partition.eof": True,
            "allow.auto.create.topics": False,
            "fetch.wait.max.ms": 100,
        }
        self._topics = topics
        self._consumers: dict[str, tuple[Any, int]] = {}
        self._asking: Any = None

    def partitions(self) -> tuple[str, ...]:
        """The partitions that have a topic, sorted."""
        with told("the list of topics"):
            return self._topics.partitions(self._asker().list_topics(timeout=CALL_SECONDS).topics)

    def begin(self, partition: str) -> int:
        """The first offset that is kept."""
        return self._bounds(partition)[0]

    def end(self, partition: str) -> int:
        """The offset behind the last committed record and its transaction's mark."""
        return self._bounds(partition)[1]

    def read(self, partition: str, start: int, max_bytes: int) -> list[Record]:
        """Records from an offset on.

        Raises:
            Corrupt: they are kept no longer (a topic that drops old records may be read from its beginning only), or
                the topic ends before `start`.
        """
        low, high = self._bounds(partition)
        if start == high:
            return []
        if start > high:
            raise Corrupt(f"partition {partition} ends at {high}, before {start}: the broker has lost records")
        if start < low:
            if start:
                raise Corrupt(f"partition {partition} keeps nothing before {low} any more; {start} was asked for")
            return [Record(low, _GONE)]
        with told(f"partition {partition}"):
            return self._fetched(partition, start, high, max_bytes)

    def close(self) -> None:
        """Closes the consumers."""
        for consumer, _ in self._consumers.values():
            consumer.close()
        self._consumers.clear()
        if self._asking is not None:
            self._asking.close()
            self._asking = None

    def _bounds(self, partition: str) -> tuple[int, int]:
        """The first offset that is kept, and the one behind the last."""
        place = TopicPartition(self._topics.topic(partition), 0)
        with told(f"partition {partition}"):
            try:
                found = self._asker().get_watermark_offsets(place, timeout=CALL_SECONDS)
            except KafkaException as error:
                if error.args[0].code() in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_PARTITION):  # noqa: SLF001
                    return 0, 0
                raise
        if found is None:
            raise Unavailable(f"Kafka does not tell the end of partition {partition}")
        return int(found[0]), int(found[1])

    def _fetched(self, partition: str, start: int, high: int, max_bytes: int) -> list[Record]:
        consumer = self._consumer_at(partition, start)
        records: list[Record] = []
        at, size, until = start, 0, time.monotonic() + CALL_SECONDS
        while at < high and size < max_bytes:
            first = consumer.poll(_WAIT_SECONDS)
            if first is None:
                if time.monotonic() > until:
                    break
                continue
            for message in (first, *consumer.consume(_AT_ONCE, timeout=0)):  # what has come with it
                at = _take(message, at, records)
            size = sum(len(record.payload) for record in records)
        self._consumers[partition] = (consumer, at)
        if not records:
            raise Unavailable(f"Kafka gives nothing of partition {partition} from {start}, though it ends at {high}")
        return records

    def _consumer_at(self, partition: str, start: int) -> Any:
        """A consumer whose next message is the one at `start`."""
        consumer, at = self._consumers.get(partition, (None, -1))
        if consumer is None:
            consumer = Consumer(self._client)
        if at != start:
            consumer.assign([TopicPartition(self._topics.topic(partition), 0, start)])
        self._consumers[partition] = (consumer, start)
        return consumer

    def _asker(self) -> Any:
        if self._asking is None:
            self._asking = Consumer(self._client)
        return self._asking


def _take(message: Any, at: int, records: list[Record]) -> int:
    """Adds a message, and erased records for the offsets before it that hold none. Returns the next offset."""
    fault = message.error()
    if fault is not None and fault.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001  the client's own sign
        raise KafkaException(fault)
    offset = int(message.offset())
    records += _gap(at, offset)
    if fault is not None:  # the end: what lies before it and held nothing are marks
        return max(at, offset)
    records.append(Record(offset + 1, message.value() or b""))
    return offset + 1


def _gap(start: int, end: int) -> Sequence[Record]:
    return [Record(offset + 1, _GONE) for offset in range(start, end)]
