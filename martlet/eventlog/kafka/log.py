"""The event log on Kafka as a whole."""

from collections.abc import Mapping
from dataclasses import replace

from martlet.clock import Clock
from martlet.errors import Conflict
from martlet.eventlog.broker_writer import BrokerEventWriter, WriterLimits
from martlet.eventlog.kafka.appender import KafkaAppender
from martlet.eventlog.kafka.reader import KafkaReader
from martlet.eventlog.kafka.topics import Topics, check_name
from martlet.eventlog.port import EventEraser

__all__ = ["KafkaEventLog", "Topics"]


class KafkaEventLog:
    """See `martlet.eventlog.port.EventLog`.

    Args:
        client: librdkafka's settings: `bootstrap.servers` and whatever the cluster asks for.

    Raises:
        InvalidInput: the log's name cannot be one.
    """

    def __init__(self, client: Mapping[str, str], topics: Topics, limits: WriterLimits, clock: Clock) -> None:
        check_name(topics.name)
        self._client = dict(client)
        self._topics = topics
        self._limits = limits
        self._clock = clock

    def writer(self, partition: str, queue_limit: int) -> BrokerEventWriter:
        """A writer. It takes the partition from whoever had it, as soon as the brokers answer."""
        limits = replace(self._limits, records=queue_limit)
        appender = KafkaAppender(self._client, self._topics, partition, limits.record_bytes)
        return BrokerEventWriter(partition, appender, limits, self._clock)

    def reader(self) -> KafkaReader:
        """A reader of its own."""
        return KafkaReader(self._client, self._topics)

    def eraser(self) -> EventEraser:
        """There is none.

        Raises:
            Conflict: always: Kafka drops whole stretches of a topic, by age, and never a single record.
        """
        raise Conflict(
            "the event log on Kafka cannot erase single records: events of a user go with the topic's retention alone"
        )

    def close(self) -> None:
        """Nothing is shared."""
