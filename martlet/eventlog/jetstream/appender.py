"""Appends to a partition's stream: exactly once, in order, by one writer.

Each message says which sequence it expects before it (`Nats-Expected-Last-Sequence`), so a message that got lost takes
all behind it along, and a message that is sent again stands once. When an answer is missing, the stream itself is read
behind the last acknowledged record: what stands there is acknowledged, the rest is sent again. So it does not matter
how long the broker was away.

A writer begins with a note in the stream. Whoever wrote before finds it there instead of its own record, and writes no
more: of two writers of a partition the newer one goes on.
"""

from collections.abc import Sequence
from typing import Final

from martlet.errors import Conflict, Corrupt, InvalidInput, Unavailable
from martlet.eventlog.jetstream.link import Message
from martlet.eventlog.jetstream.protocol import (
    WRONG_LAST_SEQUENCE,
    Link,
    Streams,
    StreamState,
    decode_answer,
    failed,
    make_stream,
    state_of,
)
from martlet.eventlog.jetstream.reader import fetch
from martlet.eventlog.pending import PendingRecord

EXPECTED: Final = "Nats-Expected-Last-Sequence"
MESSAGE_ID: Final = "Nats-Msg-Id"
HEADER_BYTES: Final = 512  # more than the headers of a message take
_NOTE: Final = b"\0martlet event log 1"  # begins like an erased record: no event
_TRIES: Final = 20
_READ_BYTES: Final = 4 << 20


class JetStreamAppender:
    """See `martlet.eventlog.broker_writer.Appender`.

    Args:
        token: unlike that of any other writer.
        record_bytes: largest record that will be appended.
    """

    def __init__(self, link: Link, streams: Streams, partition: str, token: str, record_bytes: int) -> None:
        self._link = link
        self._streams = streams
        self._partition = partition
        self._stream = streams.stream(partition)
        self._subject = streams.subject(partition)
        self._token = token
        self._record_bytes = record_bytes
        self._last = 0
        self._open = False
        self._in_doubt = False
        self._known: dict[int, int] = {}  # of the batch under way: record's number → its sequence

    def append(self, records: Sequence[PendingRecord]) -> list[int]:
        """Appends records."""
        if not self._open:
            self._take_over()
        if self._in_doubt:
            self._settle(records)
        rest = [record for record in records if record.number not in self._known]
        if rest:
            self._send(rest)
        ends = [self._known[record.number] for record in records]
        self._known.clear()
        return ends

    def close(self) -> None:
        """The link is the log's."""

    def _take_over(self) -> None:
        """Puts the note behind everything that is there."""
        room = self._link.max_payload() - HEADER_BYTES
        if room < self._record_bytes:
            raise InvalidInput(
                f"bad setting: event_log.record_bytes is {self._record_bytes}, but NATS takes {room} (its max_payload)"
            )
        state = make_stream(self._link, self._streams, self._partition)
        for _ in range(_TRIES):
            note = Message(_NOTE, {EXPECTED: str(state.last), MESSAGE_ID: f"{self._token}-open-{state.last}"})
            answer = decode_answer(self._link.publish(self._subject, [note])[0])
            if answer.error is None:
                self._last, self._open = answer.seq, True
                return
            if answer.code not in WRONG_LAST_SEQUENCE:
                raise failed(answer, f"to open partition {self._partition}")
            state = self._state()
        raise Conflict(f"partition {self._partition} has a writer that does not stop")

    def _send(self, records: Sequence[PendingRecord]) -> None:
        """Publishes records. Where one is refused, the stream tells at the next try which of them it has."""
        self._in_doubt = True
        messages = [
            Message(record.payload, {EXPECTED: str(self._last + place), MESSAGE_ID: self._id(record)})
            for place, record in enumerate(records)
        ]
        answers = [decode_answer(answer) for answer in self._link.publish(self._subject, messages)]
        for answer in answers:
            if answer.error is not None:
                raise failed(answer, f"a record of partition {self._partition}")
        self._in_doubt = False
        self._last = answers[-1].seq
        self._known |= {record.number: answer.seq for record, answer in zip(records, answers, strict=True)}

    def _settle(self, records: Sequence[PendingRecord]) -> None:
        """Finds those records that the stream holds behind the last one known.

        Raises:
            Conflict: another writer's record stands there.
            Corrupt: the stream has lost records that it had acknowledged.
        """
        state = self._state()
        if state.last < self._last:
            raise Corrupt(f"stream {self._stream} ends at {state.last}; it had acknowledged {self._last}")
        unknown = iter([record for record in records if record.number not in self._known])
        while self._last < state.last:
            found = fetch(self._link, self._streams, self._partition, self._last, _READ_BYTES)
            if not found:
                raise Unavailable(f"no replica gives what stream {self._stream} holds behind {self._last}")
            for sequence, message in found:
                record = next(unknown, None)
                if record is None or message.headers.get(MESSAGE_ID) != self._id(record):
                    raise Conflict(f"partition {self._partition} has another writer now: it stands at {sequence}")
                self._known[record.number] = self._last = sequence
        self._in_doubt = False

    def _state(self) -> StreamState:
        state = state_of(self._link, self._stream)
        if state is None:
            raise Unavailable(f"stream {self._stream} is gone")
        return state

    def _id(self, record: PendingRecord) -> str:
        return f"{self._token}-{record.number}"
