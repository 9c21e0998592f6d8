"""Partitions of file-backed logs: where they end, and their copies up to there."""

import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from martlet.durable import write_durably
from martlet.errors import Corrupt
from martlet.eventlog.erasure import ERASING
from martlet.eventlog.segment import (
    BEGIN,
    DURABLE,
    POSITION,
    SEGMENT_HEADER,
    check_header,
    read_begin,
    records,
    segments,
)

TRIES: Final = 20
PAUSE_SECONDS: Final = 0.1
OWN_FILES: Final = frozenset({BEGIN, DURABLE, ERASING, "lock"})


class Trimmed(Exception):
    """A partition has let records go while it was copied: what else was copied may need them."""


def partitions_below(root: Path) -> list[Path]:
    """The folders below `root`, or itself, that are partitions; sorted."""
    return sorted(path.parent for path in root.rglob(DURABLE))


def belongs_to_partition(path: Path) -> bool:
    """Whether a file is a partition's own, and copied with it."""
    return path.suffix == ".log" or path.name in OWN_FILES


def begins_of(root: Path, folders: list[Path]) -> dict[str, int]:
    """Where these partitions begin now."""
    return {str(folder.relative_to(root)): read_begin(folder) for folder in folders}


def marks_of(root: Path, folders: list[Path]) -> dict[str, int]:
    """Where these partitions end now: folder relative to `root` → position."""
    return {str(folder.relative_to(root)): _mark(folder) for folder in folders}


def copy_partitions(source: Path, target: Path, marks: Mapping[str, int], begins: Mapping[str, int]) -> None:
    """Copies partitions, each up to its mark, durably. `begins`: where each began when nothing was copied yet.

    Raises:
        Corrupt: a partition is damaged before its mark.
        Trimmed: one begins elsewhere by now.
    """
    for name, mark in marks.items():
        try:
            copy_partition(source / name, target / name, mark)
        except (Corrupt, FileNotFoundError):
            _check_begins(source / name, begins.get(name, 0))
            raise
        _check_begins(source / name, begins.get(name, 0))


def copy_partition(source: Path, target: Path, mark: int) -> None:
    """Copies one partition. A record that is being erased is looked at again, for it is whole before and after.

    Raises:
        Corrupt: damaged before its mark.
    """
    target.mkdir(parents=True, exist_ok=True)
    wanted = [(start, path) for start, path in segments(source) if start < mark or (start == mark == 0)]
    ends, begin = [*(start for start, _ in wanted[1:]), mark], read_begin(source)
    _check_whole(source, wanted, mark)
    for (start, path), end in zip(wanted, ends, strict=True):
        if end > begin:
            _copy_segment(path, target / path.name, start, end)
        elif start == 0:  # it holds the first record alone, or will
            _copy_segment(path, target / path.name, start, path.stat().st_size - SEGMENT_HEADER.size)
    if begin:
        write_durably(target / BEGIN, memoryview(POSITION.pack(begin)))
    write_durably(target / DURABLE, memoryview(mark.to_bytes(8, "little")))
    note = source / ERASING
    if note.exists():
        write_durably(target / ERASING, memoryview(note.read_bytes()))


def payloads_behind(folder: Path, position: int) -> Iterator[bytes]:
    """What was appended to a partition since it ended at `position`, and is durable."""
    known, end = segments(folder), _mark(folder)
    ends = [*(start for start, _ in known[1:]), end]
    for (start, path), behind in zip(known, ends, strict=True):
        if behind > position:
            data = path.read_bytes()[SEGMENT_HEADER.size : SEGMENT_HEADER.size + end - start]
            yield from (record.payload for record in records(data, start) if record.end > position)


def _mark(folder: Path) -> int:
    return int.from_bytes((folder / DURABLE).read_bytes(), "little")


def _check_begins(folder: Path, begin: int) -> None:
    if read_begin(folder) != begin:
        raise Trimmed(f"partition {folder.name} has let records go")


def _check_whole(folder: Path, found: list[tuple[int, Path]], mark: int) -> None:
    if mark and not found:
        raise Corrupt(f"partition {folder.name} has no segment, and should reach to {mark}")


def _copy_segment(source: Path, target: Path, start: int, end: int) -> None:
    stat, size = source.stat(), SEGMENT_HEADER.size + end - start
    if stat.st_size == size and _same(target, stat):
        return
    for left in reversed(range(TRIES)):
        at = _copy_bytes(source, target, start, size)
        if at == end:
            os.utime(target, ns=(stat.st_atime_ns, stat.st_mtime_ns))
            return
        if left:
            time.sleep(PAUSE_SECONDS)
    raise Corrupt(f"partition {source.parent.name} is damaged at {at}, before {end}")


def _copy_bytes(source: Path, target: Path, start: int, size: int) -> int:
    """Copies a segment's first bytes, durably; gives the position up to which its records are whole."""
    with source.open("rb") as file:
        data = file.read(size)
    check_header(source, data, start)
    with target.open("wb") as copy:
        copy.write(data)
        copy.flush()
        os.fsync(copy.fileno())
    position = start
    for record in records(data[SEGMENT_HEADER.size :], start):
        position = record.end
    return position


def _same(target: Path, stat: os.stat_result) -> bool:
    """Whether an earlier try has copied this very file: as large, and changed at the same time."""
    try:
        found = target.stat()
    except FileNotFoundError:
        return False
    return (found.st_size, found.st_mtime_ns) == (stat.st_size, stat.st_mtime_ns)
