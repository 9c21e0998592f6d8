"""The file format of a partition, format 1.

A partition is a folder of segments, each named by the position at which it starts (16 hex digits, `.log`). A segment
begins with a 16-byte header: `MARTLOG` and one byte of format number, then its starting position (u64). A record is
its payload's length (u32), the payload's CRC-32 (u32), and the payload. All numbers are little-endian. A position
counts the bytes of records (headers of records included, of segments not) since the partition began.

Beside the segments stands `durable`: eight bytes, the position up to which the disk has confirmed. Readers stop there,
so what a crash may take back was never seen. Where records were let go (`martlet.eventlog.trimming`) there stands
`begin`, too: eight bytes, the position before which nothing is kept but the partition's first record.
"""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from martlet.errors import Corrupt
from martlet.eventlog.port import Record

LOG_FORMAT: Final = 1
MAGIC: Final = b"MARTLOG" + bytes([LOG_FORMAT])
SEGMENT_HEADER: Final = struct.Struct("<8sQ")
RECORD_HEADER: Final = struct.Struct("<II")
MAX_RECORD: Final = 16 << 20
DURABLE: Final = "durable"
BEGIN: Final = "begin"
POSITION: Final = struct.Struct("<Q")


def segment_path(folder: Path, start: int) -> Path:
    """Where the segment that starts at a position stands."""
    return folder / f"{start:016x}.log"


def read_begin(folder: Path) -> int:
    """The position from which all records are kept; 0: all ever written are."""
    try:
        return int(POSITION.unpack((folder / BEGIN).read_bytes())[0])
    except FileNotFoundError:
        return 0


def segments(folder: Path) -> list[tuple[int, Path]]:
    """All segments as (start, path), in order."""
    return sorted((int(path.stem, 16), path) for path in folder.glob("*.log"))


def frame(payload: bytes) -> bytes:
    """A record's bytes."""
    return RECORD_HEADER.pack(len(payload), zlib.crc32(payload)) + payload


def check_header(path: Path, header: bytes, start: int) -> None:
    """Checks a segment's header.

    Raises:
        Corrupt: not a segment, of another format, or of another place.
    """
    if len(header) < SEGMENT_HEADER.size:
        raise Corrupt(f"{path.name}: the segment's header is cut short")
    magic, begins = SEGMENT_HEADER.unpack(header[: SEGMENT_HEADER.size])
    if magic[:7] != MAGIC[:7]:
        raise Corrupt(f"{path.name} is not a log segment")
    if magic[7] != LOG_FORMAT:
        raise Corrupt(f"{path.name}: log format {magic[7]} is not known here (known: {LOG_FORMAT})")
    if begins != start:
        raise Corrupt(f"{path.name} says that it starts at {begins}")


def records(data: bytes, start: int) -> Iterator[Record]:
    """The whole records at the beginning of `data`, which begins at position `start`. Stops at a cut or damaged one."""
    at = 0
    while at + RECORD_HEADER.size <= len(data):
        size, crc = RECORD_HEADER.unpack_from(data, at)
        end = at + RECORD_HEADER.size + size
        if size > MAX_RECORD or end > len(data):
            return
        payload = data[at + RECORD_HEADER.size : end]
        if zlib.crc32(payload) != crc:
            return
        yield Record(start + end, payload)
        at = end
