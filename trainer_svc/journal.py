"""The journal: what the trainer decided, on disk before it acts. Re-executing it gives the same state, bit for bit.

Format 1: a header line, then framed records (length, CRC-32, JSON), as in the event log's segments.
"""

import os
from pathlib import Path
from typing import Final

import msgspec

from martlet.errors import Corrupt
from martlet.eventlog.segment import frame, records

HEADER: Final = b"martlet-journal 1\n"


class Range(msgspec.Struct, frozen=True, array_like=True):
    """A stretch of one partition."""

    partition: str
    start: int
    end: int


class Cut(msgspec.Struct, frozen=True, tag="cut"):
    """What one step consumes. `now_us`: wall time if the log had nothing more; else 0, time is event time then."""

    step: int
    ranges: tuple[Range, ...]
    now_us: int


class Publish(msgspec.Struct, frozen=True, tag="publish"):
    """A version is frozen after this step."""

    step: int
    sequence: int
    snapshot: bool
    epoch: int
    parent: str


class Acknowledged(msgspec.Struct, frozen=True, tag="acknowledged"):
    """A publish has arrived: from here on it is the parent."""

    step: int
    sequence: int
    version: int
    digest: str


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """A publish was refused: the next one is a snapshot on this parent in this epoch."""

    step: int
    sequence: int
    epoch: int
    parent: str
    reason: str


Entry = Cut | Publish | Acknowledged | Refused
_DECODER: Final = msgspec.json.Decoder(Entry)


class Journal:
    """Appends entries durably. One writer; not thread-safe."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        size = self._whole_size()
        os.ftruncate(self._file, size)
        if size == 0:
            os.write(self._file, HEADER)
        os.fsync(self._file)
        _sync_folder(path.parent)

    def append(self, *entries: Entry) -> None:
        """Writes entries; returns when they are on disk."""
        os.write(self._file, b"".join(frame(msgspec.json.encode(entry)) for entry in entries))
        os.fdatasync(self._file)

    def entries(self) -> list[Entry]:
        """All entries, oldest first."""
        return read_journal(self._path)

    def close(self) -> None:
        """Closes the file."""
        os.close(self._file)

    def _whole_size(self) -> int:
        data = self._path.read_bytes()
        if not data.startswith(HEADER):
            if HEADER.startswith(data):  # the process died while it began the file
                return 0
            raise Corrupt(f"{self._path.name} is not a journal of format 1")
        return max((record.end for record in records(data[len(HEADER) :], len(HEADER))), default=len(HEADER))


def read_journal(path: Path) -> list[Entry]:
    """All whole entries of a journal. A torn tail is not there yet.

    Raises:
        Corrupt: not a journal, or an entry that cannot be read.
    """
    data = path.read_bytes()
    if not data.startswith(HEADER):
        raise Corrupt(f"{path.name} is not a journal of format 1")
    try:
        return [_DECODER.decode(record.payload) for record in records(data[len(HEADER) :], len(HEADER))]
    except msgspec.MsgspecError as error:
        raise Corrupt(f"{path.name}: {error}") from error


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)
