"""Reads partitions from their streams, without consumers: positions are kept by who reads, not by the broker."""

import time
from collections.abc import Sequence
from typing import Final

import msgspec

from martlet.errors import Corrupt, Unavailable
from martlet.eventlog.erasure import erased
from martlet.eventlog.jetstream.link import Message
from martlet.eventlog.jetstream.protocol import Link, Streams, StreamState, partitions_of, state_of
from martlet.eventlog.port import Record

SEQUENCE: Final = "Nats-Sequence"
_MOST: Final = 4096
_TRIES: Final = 100
_PAUSE: Final = 0.02
_GONE: Final = erased(1)


class JetStreamReader:
    """See `martlet.eventlog.port.EventReader`. A position is the sequence of the record before it.

    A message that was erased has left a gap; it comes as an erased record, so that no position moves.
    """

    def __init__(self, link: Link, streams: Streams) -> None:
        self._link = link
        self._streams = streams

    def partitions(self) -> tuple[str, ...]:
        """The partitions that have a stream, sorted."""
        return partitions_of(self._link, self._streams)

    def begin(self, partition: str) -> int:
        """The sequence before the first record that is kept."""
        state = state_of(self._link, self._streams.stream(partition))
        return max(0, state.first - 1) if state else 0

    def end(self, partition: str) -> int:
        """The sequence of the last record."""
        state = state_of(self._link, self._streams.stream(partition))
        return state.last if state else 0

    def read(self, partition: str, start: int, max_bytes: int) -> list[Record]:
        """Records behind a sequence.

        Raises:
            Corrupt: they are kept no longer (a log that drops old records may be read from its beginning only), or
                the stream ends before `start`.
        """
        for _ in range(_TRIES):
            found = fetch(self._link, self._streams, partition, start, max_bytes)
            if found and found[0][0] == start + 1:
                return _without_gaps(start, found)
            state = state_of(self._link, self._streams.stream(partition))
            records = self._behind_a_gap(partition, start, state, found)
            if records is not None:
                return records
            time.sleep(_PAUSE)  # the replica that was asked does not have it yet
        raise Unavailable(f"partition {partition}: no replica gives what stands behind {start}")

    def close(self) -> None:
        """The link is the log's."""

    def _behind_a_gap(
        self, partition: str, start: int, state: StreamState | None, found: Sequence[tuple[int, Message]]
    ) -> list[Record] | None:
        """What there is if the next record is not what was found. None: it is there, but was not given."""
        if state is None and start:
            raise Unavailable(f"partition {partition} has no stream now, and had {start} records")
        if state is None or state.last == start:
            return []
        if state.last < start:
            raise Corrupt(f"partition {partition} ends at {state.last}, before {start}: the broker has lost records")
        if start + 1 < state.first:
            return _from_the_first_kept(partition, start, state, found)
        return _without_gaps(start, found) if found else self._erased_tail(partition, start)

    def _erased_tail(self, partition: str, start: int) -> list[Record] | None:
        state = state_of(self._link, self._streams.stream(partition), deleted=True)
        found: list[Record] = []
        while state is not None and start + len(found) + 1 in state.deleted:
            found.append(Record(start + len(found) + 1, _GONE))
        return found or None


def _from_the_first_kept(
    partition: str, start: int, state: StreamState, found: Sequence[tuple[int, Message]]
) -> list[Record]:
    """A log that drops old records begins with one erased record in their place."""
    if start:
        raise Corrupt(f"partition {partition} keeps nothing before {state.first} any more; {start} was asked for")
    begins = (found[0][0] if found else state.first) - 1
    return [Record(begins, _GONE), *_without_gaps(begins, found)]


def fetch(link: Link, streams: Streams, partition: str, start: int, max_bytes: int) -> list[tuple[int, Message]]:
    """The messages behind a sequence, with theirs, as far as the server that is asked has them. One request."""
    wanted = {"seq": start + 1, "batch": _MOST, "max_bytes": max_bytes, "next_by_subj": streams.subject(partition)}
    messages = link.collect(f"$JS.API.DIRECT.GET.{streams.stream(partition)}", msgspec.json.encode(wanted))
    return [(int(message.headers[SEQUENCE]), message) for message in messages]


def _without_gaps(start: int, found: Sequence[tuple[int, Message]]) -> list[Record]:
    records: list[Record] = []
    for sequence, message in found:
        records += [Record(end, _GONE) for end in range(start + 1, sequence)]
        records.append(Record(sequence, message.payload))
        start = sequence
    return records
