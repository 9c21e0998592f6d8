"""The event log on JetStream as a whole."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from martlet.clock import Clock
from martlet.errors import InvalidInput
from martlet.eventlog.broker_writer import BrokerEventWriter, WriterLimits
from martlet.eventlog.erasure import is_erased
from martlet.eventlog.jetstream.appender import JetStreamAppender
from martlet.eventlog.jetstream.link import Address, NatsLink
from martlet.eventlog.jetstream.protocol import SEQUENCE_NOT_FOUND, Link, Streams, ask, check_name, failed
from martlet.eventlog.jetstream.reader import JetStreamReader


class JetStreamEventLog:
    """See `martlet.eventlog.port.EventLog`. One connection for all that it gives out.

    Args:
        new_token: gives a text that no other writer has, each time.

    Raises:
        InvalidInput: the log's name cannot be one.
    """

    def __init__(
        self, address: Address, streams: Streams, limits: WriterLimits, clock: Clock, new_token: Callable[[], str]
    ) -> None:
        check_name(streams.name)
        self._link = NatsLink(address)
        self._streams = streams
        self._limits = limits
        self._clock = clock
        self._new_token = new_token

    def writer(self, partition: str, queue_limit: int) -> BrokerEventWriter:
        """A writer. It takes the partition from whoever had it, as soon as the broker answers."""
        limits = replace(self._limits, records=queue_limit)
        appender = JetStreamAppender(self._link, self._streams, partition, self._new_token(), limits.record_bytes)
        return BrokerEventWriter(partition, appender, limits, self._clock)

    def reader(self) -> JetStreamReader:
        """A reader of its own."""
        return JetStreamReader(self._link, self._streams)

    def eraser(self) -> "JetStreamEraser":
        """An eraser."""
        return JetStreamEraser(self._link, self._streams)

    def close(self) -> None:
        """Disconnects."""
        self._link.close()


class JetStreamEraser:
    """Takes messages out of streams: the server overwrites their bytes on each replica. See `EventEraser`."""

    def __init__(self, link: Link, streams: Streams) -> None:
        self._link = link
        self._streams = streams

    def replace(self, partition: str, records: Mapping[int, bytes]) -> None:
        """Deletes records; a gap is left, which a reader gives as an erased record."""
        if not all(is_erased(payload) for payload in records.values()):
            raise InvalidInput("records of a broker can be erased, not replaced")
        for start in records:
            self._delete(partition, start + 1)

    def finish(self) -> None:
        """Nothing is ever half done: each message is deleted at once."""

    def _delete(self, partition: str, sequence: int) -> None:
        stream = self._streams.stream(partition)
        answer = ask(self._link, f"STREAM.MSG.DELETE.{stream}", {"seq": sequence, "no_erase": False})
        if answer.error is not None and answer.code != SEQUENCE_NOT_FOUND:
            raise failed(answer, f"to erase message {sequence} of stream {stream}")
