"""Trimming a partition of the embedded log: what lies before a position goes, but for its very first record.

First the new beginning is written down (`begin` beside the segments: whole, synced, renamed), and from then on nobody
reads what lies before it; then the segments go whose records all do. The first segment is replaced by one that holds
the first record alone. A crash in between leaves segments that nobody reads, and the next `finish` removes them.
Positions stay what they are.
"""

from itertools import pairwise
from pathlib import Path

from martlet.durable import sync_folder, write_durably
from martlet.errors import Corrupt
from martlet.eventlog.segment import (
    BEGIN,
    MAGIC,
    POSITION,
    RECORD_HEADER,
    SEGMENT_HEADER,
    check_header,
    read_begin,
    records,
    segment_path,
    segments,
)


class FileEventTrimmer:
    """Trims one partition, which its writer and readers use meanwhile; one trimmer at a time."""

    def __init__(self, root: Path, partition: str) -> None:
        self._folder = root / partition

    def begin(self) -> int:
        """The position from which records are kept, beside the first; 0: all are."""
        return read_begin(self._folder)

    def trim(self, position: int) -> None:
        """Lets records before a position go, which must be a record's beginning; nothing if no segment would go.

        Raises:
            Corrupt: the first segment is damaged; nothing goes then.
        """
        if position <= self.begin() or not any(start for start, _ in _wholly_before(self._folder, position)):
            return
        write_durably(self._folder / BEGIN, memoryview(POSITION.pack(position)))
        self.finish()

    def finish(self) -> None:
        """Removes what a crash has left. Under the writer's lock."""
        for start, path in _wholly_before(self._folder, self.begin()):
            if start:
                path.unlink()
            else:
                _keep_first_record(path)
        if self.begin():
            sync_folder(self._folder)


def _wholly_before(folder: Path, position: int) -> list[tuple[int, Path]]:
    """The segments whose last record ends at or before a position: the one that is written to is none of them."""
    known = segments(folder)
    return [one for one, (following, _) in pairwise(known) if following <= position]


def _keep_first_record(path: Path) -> None:
    with path.open("rb") as file:
        check_header(path, file.read(SEGMENT_HEADER.size), 0)
        header = file.read(RECORD_HEADER.size)
        size, _ = RECORD_HEADER.unpack(header.ljust(RECORD_HEADER.size, b"\0"))
        first = header + file.read(size)
        if not file.read(1):
            return  # it holds nothing else
    if not list(records(first, 0)):
        raise Corrupt(f"{path.name}: the first record is damaged")
    write_durably(segment_path(path.parent, 0), memoryview(SEGMENT_HEADER.pack(MAGIC, 0) + first))
