"""The event log up to a fixed cut: what was durable when a run was asked for."""

from collections.abc import Mapping

from martlet.eventlog.port import EventReader, Record


class BoundedReader:
    """A reader that sees nothing behind given positions. As thread-safe as the reader it wraps.

    Args:
        until: partition → position behind the last record that is seen; partitions not named are not seen.
    """

    def __init__(self, reader: EventReader, until: Mapping[str, int]) -> None:
        self._reader = reader
        self._until = dict(until)

    def partitions(self) -> tuple[str, ...]:
        """The partitions that exist and are not empty before the cut, sorted."""
        return tuple(name for name in self._reader.partitions() if self._until.get(name, 0) > 0)

    def begin(self, partition: str) -> int:
        """See `EventReader`."""
        return self._reader.begin(partition)

    def end(self, partition: str) -> int:
        """The position behind the last record that is seen."""
        return min(self._reader.end(partition), self._until.get(partition, 0))

    def read(self, partition: str, start: int, max_bytes: int) -> list[Record]:
        """See `EventReader`."""
        end = self._until.get(partition, 0)
        if start >= end:
            return []
        return [record for record in self._reader.read(partition, start, max_bytes) if record.end <= end]

    def close(self) -> None:
        """Closes the reader it wraps."""
        self._reader.close()
