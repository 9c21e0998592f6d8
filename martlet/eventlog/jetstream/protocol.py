"""JetStream's own protocol, as far as it is needed: names, requests, answers. No connection.

Requests and answers are JSON on subjects of NATS: https://docs.nats.io/reference/reference-protocols/nats_api_reference
(streams), and https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-31.md (reading many at once).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import msgspec

from martlet.errors import Conflict, InvalidInput, Unavailable
from martlet.eventlog.jetstream.link import Message

STREAM_NOT_FOUND: Final = 10059
SEQUENCE_NOT_FOUND: Final = 10043
WRONG_LAST_SEQUENCE: Final = frozenset({10071, 10164})
STREAM_EXISTS: Final = frozenset({10058})
NANOSECONDS: Final = 1_000_000_000
DEDUPLICATION_SECONDS: Final = 10
PARTITION: Final = "martlet.partition"
_NAMES_AT_ONCE: Final = 1024


class Link(Protocol):
    """See `martlet.eventlog.jetstream.link.NatsLink`."""

    def request(self, subject: str, payload: bytes) -> bytes:
        """Asks, and gives the answer."""
        ...

    def publish(self, subject: str, messages: list[Message]) -> list[bytes]:
        """Sends messages, and gives the answer to each."""
        ...

    def collect(self, subject: str, payload: bytes) -> list[Message]:
        """Asks for many messages."""
        ...

    def max_payload(self) -> int:
        """Bytes of the largest message."""
        ...


class _Fault(msgspec.Struct):
    code: int = 0
    err_code: int = 0
    description: str = ""


class _State(msgspec.Struct):
    first_seq: int = 0
    last_seq: int = 0
    deleted: list[int] | None = None


class _Settings(msgspec.Struct):
    subjects: list[str] = []
    allow_direct: bool = False
    retention: str = "limits"
    max_age: int = 0
    num_replicas: int = 1


class Answer(msgspec.Struct):
    """Any answer of the API, and the acknowledgement of a message."""

    error: _Fault | None = None
    state: _State | None = None
    config: _Settings | None = None
    streams: list[str] | None = None
    total: int = 0
    seq: int = 0

    @property
    def code(self) -> int:
        """JetStream's number of the error; 0: none."""
        return self.error.err_code or self.error.code if self.error else 0


@dataclass(frozen=True, slots=True)
class StreamState:
    """What a stream holds: sequences `first` to `last`, without those in `deleted` (where these were asked for)."""

    first: int
    last: int
    deleted: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Streams:
    """The streams of one event log: `<name>-<partition>`, each of one subject, `<name>.<partition>`.

    Attributes:
        name: of the log: letters, digits, '-' and '_'.
        replicas: servers that keep each record.
        keep_seconds: older records are dropped; 0: none are.
    """

    name: str
    replicas: int = 1
    keep_seconds: float = 0.0

    def stream(self, partition: str) -> str:
        """A partition's stream. Streams' names have no dots; partitions' names have no '='."""
        return f"{self.name}-{partition.replace('.', '=')}"

    def subject(self, partition: str) -> str:
        """What its records are published to."""
        return f"{self.name}.{partition.replace('.', '=')}"

    def partition(self, stream: str) -> str:
        """The partition of a stream."""
        return stream.removeprefix(f"{self.name}-").replace("=", ".")

    def settings(self, partition: str) -> dict[str, Any]:
        """How a partition's stream is made. When it is full it refuses; nothing but age, if at all, takes records away.

        Secure deletion stays allowed, for erasing; purging does not.
        """
        return {
            "name": self.stream(partition),
            "subjects": [self.subject(partition)],
            "storage": "file",
            "retention": "limits",
            "discard": "new",
            "num_replicas": self.replicas,
            "max_age": int(self.keep_seconds * NANOSECONDS),
            "duplicate_window": DEDUPLICATION_SECONDS * NANOSECONDS
            if not self.keep_seconds
            else int(min(DEDUPLICATION_SECONDS, self.keep_seconds) * NANOSECONDS),
            "allow_direct": True,
            "deny_purge": True,
            "metadata": {PARTITION: partition},
        }


def ask(link: Link, what: str, body: Mapping[str, Any] | None = None) -> Answer:
    """Asks the API.

    Raises:
        Unavailable: no answer, or none that JetStream gives when it works.
    """
    payload = msgspec.json.encode(body) if body is not None else b""
    return decode_answer(link.request(f"$JS.API.{what}", payload))


def decode_answer(payload: bytes) -> Answer:
    """An answer.

    Raises:
        Unavailable: it cannot be read.
    """
    try:
        return _ANSWER.decode(payload)
    except msgspec.MsgspecError as error:
        raise Unavailable(f"JetStream's answer cannot be read: {error}") from error


def failed(answer: Answer, doing: str) -> Unavailable:
    """What an answer with an error means where none is expected."""
    description = answer.error.description if answer.error else "no answer"
    return Unavailable(f"JetStream refused {doing}: {description}")


def state_of(link: Link, stream: str, *, deleted: bool = False) -> StreamState | None:
    """What a stream holds; None: there is no such stream."""
    answer = ask(link, f"STREAM.INFO.{stream}", {"deleted_details": True} if deleted else None)
    if answer.code == STREAM_NOT_FOUND:
        return None
    if answer.state is None:
        raise failed(answer, f"to tell of stream {stream}")
    return StreamState(answer.state.first_seq, answer.state.last_seq, frozenset(answer.state.deleted or ()))


def partitions_of(link: Link, streams: Streams) -> tuple[str, ...]:
    """The partitions that have a stream, sorted."""
    names: list[str] = []
    while True:
        answer = ask(link, "STREAM.NAMES", {"subject": f"{streams.name}.*", "offset": len(names)})
        if answer.error is not None:
            raise failed(answer, "to list streams")
        names += answer.streams or []
        if not answer.streams or len(names) >= answer.total:
            prefix = f"{streams.name}-"
            return tuple(sorted(streams.partition(name) for name in names if name.startswith(prefix)))


def make_stream(link: Link, streams: Streams, partition: str) -> StreamState:
    """Makes a partition's stream unless it is there, and tells what it holds.

    Raises:
        Conflict: a stream of that name serves something else.
    """
    stream = streams.stream(partition)
    answer = ask(link, f"STREAM.INFO.{stream}")
    if answer.code == STREAM_NOT_FOUND:
        answer = ask(link, f"STREAM.CREATE.{stream}", streams.settings(partition))
        if answer.code in STREAM_EXISTS:
            answer = ask(link, f"STREAM.INFO.{stream}")
    if answer.state is None or answer.config is None:
        raise failed(answer, f"stream {stream}")
    settings = answer.config
    if settings.subjects != [streams.subject(partition)] or not settings.allow_direct or settings.retention != "limits":
        raise Conflict(f"stream {stream} is not one of an event log: it needs the subject, allow_direct, limits")
    return StreamState(answer.state.first_seq, answer.state.last_seq)


def check_name(name: str) -> None:
    """A log's name becomes a part of streams' names and of subjects.

    Raises:
        InvalidInput: it cannot.
    """
    if not name or not all(c.isalnum() or c in "-_" for c in name):
        raise InvalidInput(f"bad setting: event_log.name: {name!r} needs letters, digits, '-' and '_' alone")


_ANSWER: Final = msgspec.json.Decoder(Answer)
