"""librdkafka's own mock of a Kafka cluster: the real client speaks Kafka's protocol to it, in memory.

It does not know how to make topics on request (it makes one that is asked for), keeps the last 5 MiB of each, and does
not fence producers.
"""

import secrets

from confluent_kafka import Producer

from martlet.clock import SystemClock
from martlet.eventlog.broker_writer import BrokerEventWriter, WriterLimits
from martlet.eventlog.kafka.log import KafkaEventLog, Topics


class MockKafka:
    """Lives as long as this object."""

    def __init__(self) -> None:
        self._cluster = Producer({"test.mock.num.brokers": "1", "log_level": "0"})
        brokers = self._cluster.list_topics(timeout=5).brokers.values()
        self.servers = ",".join(f"{broker.host}:{broker.port}" for broker in brokers)

    def make(self, topic: str) -> None:
        """Asking for it makes it."""
        self._cluster.list_topics(topic, timeout=5)


class MockedKafkaLog(KafkaEventLog):
    """A log of a fresh name, whose topics are made as the mock makes them."""

    def __init__(self, cluster: MockKafka) -> None:
        self._cluster = cluster
        self._named = Topics(f"test-{secrets.token_hex(4)}")
        client = {"bootstrap.servers": cluster.servers, "log_level": "0"}
        super().__init__(client, self._named, WriterLimits(), SystemClock())

    def writer(self, partition: str, queue_limit: int) -> BrokerEventWriter:
        writer = super().writer(partition, queue_limit)
        self._cluster.make(self._named.topic(partition))
        return writer
