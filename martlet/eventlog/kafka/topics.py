"""Topics of a log, and the client's faults in the domain's words."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic  # where the client itself takes it from

from martlet.errors import Conflict, InvalidInput, Unavailable

CALL_SECONDS: Final = 5.0
MILLISECONDS: Final = 1000
FENCED: Final = frozenset(
    {
        KafkaError._FENCED,  # noqa: SLF001  the client's name for an error of its own
        KafkaError.PRODUCER_FENCED,
        KafkaError.INVALID_PRODUCER_EPOCH,
    }
)

Settings = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of one event log: `<name>.<partition>`.

    Attributes:
        name: of the log: letters, digits, '-' and '_'.
        replicas: brokers that keep each record, where a topic is made.
        keep_seconds: older records are dropped; 0: none are.
    """

    name: str
    replicas: int = 1
    keep_seconds: float = 0.0

    def topic(self, partition: str) -> str:
        """A partition's topic."""
        return f"{self.name}.{partition}"

    def partitions(self, topics: Mapping[str, object]) -> tuple[str, ...]:
        """The partitions that have a topic, sorted."""
        prefix = f"{self.name}."
        return tuple(sorted(topic.removeprefix(prefix) for topic in topics if topic.startswith(prefix)))

    def settings(self) -> dict[str, str]:
        """How a topic is made: nothing but age, if at all, takes records away."""
        keep = int(self.keep_seconds * MILLISECONDS) if self.keep_seconds else -1
        return {"cleanup.policy": "delete", "retention.ms": str(keep), "retention.bytes": "-1"}


def check_name(name: str) -> None:
    """A log's name begins the names of topics.

    Raises:
        InvalidInput: it cannot.
    """
    if not name or not all(c.isalnum() or c in "-_" for c in name):
        raise InvalidInput(f"bad setting: event_log.name: {name!r} needs letters, digits, '-' and '_' alone")


def make_topic(admin: AdminClient, topics: Topics, partition: str) -> None:
    """Makes a partition's topic unless it is there.

    Raises:
        Unavailable: the brokers do not answer, or refuse.
    """
    topic = topics.topic(partition)
    with told(f"topic {topic}"):
        if topic in admin.list_topics(timeout=CALL_SECONDS).topics:
            return
        made = NewTopic(topic, num_partitions=1, replication_factor=topics.replicas, config=topics.settings())
        try:
            admin.create_topics([made], request_timeout=CALL_SECONDS)[topic].result(CALL_SECONDS)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise


@contextmanager
def told(what: str) -> Iterator[None]:
    """Kafka's errors as the domain's.

    Raises:
        Conflict: another producer has taken the partition.
        Unavailable: anything else.
    """
    try:
        yield
    except (KafkaException, TimeoutError) as error:
        fault = error.args[0] if error.args else None
        if isinstance(fault, KafkaError) and fault.code() in FENCED:
            raise Conflict(f"{what} has another writer now") from error
        told_fault = fault.str() if isinstance(fault, KafkaError) else type(error).__name__
        raise Unavailable(f"Kafka does not answer for {what}: {told_fault}") from error
