"""Where events come from: the log's partitions, cut into steps."""

from collections.abc import Mapping

from martlet.errors import Corrupt
from martlet.eventlog.port import EventReader
from trainer_svc.journal import Range


class EventSource:
    """Cuts the log. Not thread-safe."""

    def __init__(self, reader: EventReader, read_bytes: int) -> None:
        self._reader = reader
        self._read_bytes = read_bytes

    def poll(self, positions: Mapping[str, int], limit: int) -> tuple[tuple[Range, ...], list[bytes], bool]:
        """What follows the positions: ranges, their payloads in order, and whether the log had no more than that.

        At most `limit` records, partition by partition in the order of their names.
        """
        ranges: list[Range] = []
        payloads: list[bytes] = []
        caught_up = True
        for partition in self._reader.partitions():
            start = positions.get(partition, 0)
            found = self._reader.read(partition, start, self._read_bytes)
            kept = found[: max(limit - len(payloads), 0)]
            size = sum(len(record.payload) for record in found)
            caught_up = caught_up and len(kept) == len(found) and 2 * size < self._read_bytes
            if kept:
                ranges.append(Range(partition, start, kept[-1].end))
                payloads.extend(record.payload for record in kept)
        return tuple(ranges), payloads, caught_up

    def again(self, ranges: tuple[Range, ...]) -> list[bytes]:
        """The payloads of ranges that were cut before.

        Raises:
            Corrupt: the log does not hold them any more.
        """
        payloads: list[bytes] = []
        for piece in ranges:
            at = piece.start
            while at < piece.end:
                found = self._reader.read(piece.partition, at, piece.end - at)
                if not found or found[-1].end > piece.end:
                    raise Corrupt(f"partition {piece.partition} no longer holds {piece.start}..{piece.end}")
                payloads.extend(record.payload for record in found)
                at = found[-1].end
        return payloads
