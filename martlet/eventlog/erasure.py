"""Erasing records of the embedded log: their bytes become zeros, their place stays, so that no position moves.

An erased record has the length it had, and a payload of zeros only: no event begins with a zero byte. A record that
holds more than what is to go is replaced by another of its length. Both are written in place, which a crash may break
off in the midst of a record; so what is to be written is noted first, in `erasing` beside the segments, and finished by
the next start before anybody reads.
"""

import base64
import json
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from martlet.durable import write_durably
from martlet.errors import Conflict, Corrupt
from martlet.eventlog.segment import DURABLE, RECORD_HEADER, SEGMENT_HEADER, frame, segments

ERASING: Final = "erasing"


def is_erased(payload: bytes) -> bool:
    """Whether a payload is what erasing leaves."""
    return payload[:1] == b"\0"


def erased(size: int) -> bytes:
    """What erasing leaves of a payload of that size."""
    return bytes(size)


class FileEventEraser:
    """Erases in the embedded log. One at a time for a folder; writers and readers of the partition may go on.

    A reader may see a record half erased, as a damaged one, and reads on once it is whole again.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def replace(self, partition: str, records: Mapping[int, bytes]) -> None:
        """See `martlet.eventlog.port.EventEraser`.

        Raises:
            Corrupt: a place that does not hold a durable record of that length. Nothing was replaced then.
        """
        folder = self._root / partition
        for start, payload in records.items():
            _check(folder, start, len(payload))
        note = folder / ERASING
        noted = json.dumps([[start, _packed(payload)] for start, payload in records.items()])
        write_durably(note, memoryview(noted.encode()))
        _carry_out(folder, records)
        note.unlink()

    def finish(self) -> None:
        """Finishes what a crash broke off. Call it before the log is read."""
        for note in self._root.glob(f"*/{ERASING}") if self._root.is_dir() else ():
            _carry_out(
                note.parent, {int(start): _unpacked(payload) for start, payload in json.loads(note.read_bytes())}
            )
            note.unlink()


class NoEraser:
    """Stands where a log cannot erase. See `martlet.eventlog.port.EventEraser`."""

    def __init__(self, why: str) -> None:
        self._why = why

    def replace(self, partition: str, records: Mapping[int, bytes]) -> None:
        """Refuses.

        Raises:
            Conflict: always, unless nothing is asked for.
        """
        if records:
            raise Conflict(f"partition {partition}: {self._why}")

    def finish(self) -> None:
        """Nothing was ever begun."""


def _check(folder: Path, start: int, size: int) -> None:
    path, at = _place(folder, start)
    with path.open("rb") as file:
        file.seek(at)
        header = file.read(RECORD_HEADER.size)
    found = RECORD_HEADER.unpack(header)[0] if len(header) == RECORD_HEADER.size else -1
    durable = int.from_bytes((folder / DURABLE).read_bytes(), "little")
    if found != size or start + RECORD_HEADER.size + size > durable:
        raise Corrupt(f"partition {folder.name} holds no durable record of {size} bytes at {start}")


def _carry_out(folder: Path, records: Mapping[int, bytes]) -> None:
    touched: dict[Path, int] = {}
    try:
        for start, payload in records.items():
            path, at = _place(folder, start)
            if path not in touched:
                touched[path] = os.open(path, os.O_WRONLY)
            os.pwrite(touched[path], frame(payload), at)
        for handle in touched.values():
            os.fsync(handle)
    finally:
        for handle in touched.values():
            os.close(handle)


def _packed(payload: bytes) -> str:
    return base64.b64encode(zlib.compress(payload)).decode()


def _unpacked(text: str) -> bytes:
    return zlib.decompress(base64.b64decode(text))


def _place(folder: Path, start: int) -> tuple[Path, int]:
    """The segment that holds a position, and where in its file."""
    below = [(begins, path) for begins, path in segments(folder) if begins <= start]
    if not below:
        raise Corrupt(f"partition {folder.name} has no segment for position {start}")
    begins, path = below[-1]
    return path, SEGMENT_HEADER.size + start - begins
