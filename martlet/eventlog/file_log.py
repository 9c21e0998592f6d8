"""The embedded event log: a folder of partitions, each written by one process.

The writer's thread gathers what is queued, writes it, asks the disk once for all of it (group commit), moves the
durable mark and only then acknowledges.
"""

import contextlib
import fcntl
import os
import queue
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import Final

from martlet.errors import Conflict, Corrupt, InvalidInput, OverCapacity, Unavailable
from martlet.eventlog.names import check_partition
from martlet.eventlog.port import Record
from martlet.eventlog.segment import (
    DURABLE,
    MAGIC,
    MAX_RECORD,
    POSITION,
    RECORD_HEADER,
    SEGMENT_HEADER,
    check_header,
    frame,
    read_begin,
    records,
    segment_path,
    segments,
)
from martlet.events import LogPosition

SEGMENT_BYTES: Final = 64 << 20
_BATCH: Final = 4096

_Queued = tuple[bytes, "Future[LogPosition] | None"]


class FileEventWriter:
    """Appends to one partition; holds a lock on it, so that it has one writer. Thread-safe.

    Raises:
        Conflict: another process writes this partition.
        Corrupt: the partition is damaged before its durable end.
    """

    def __init__(
        self, root: Path, partition: str, queue_limit: int = 65536, segment_bytes: int = SEGMENT_BYTES
    ) -> None:
        check_partition(partition)
        self._partition = partition
        self._folder = root / partition
        self._folder.mkdir(parents=True, exist_ok=True)
        self._segment_bytes = segment_bytes
        self._lock_file = _lock(self._folder / "lock", partition)
        self._position = self._recover()
        self._mark = os.open(self._folder / DURABLE, os.O_RDWR | os.O_CREAT, 0o644)
        self._set_durable(self._position)
        self._queue: queue.Queue[_Queued | None] = queue.Queue(queue_limit)
        self._closed = False
        self._failure: OSError | None = None
        self._thread = threading.Thread(target=self._run, name=f"log-{partition}", daemon=True)
        self._thread.start()

    @property
    def partition(self) -> str:
        """The partition's name."""
        return self._partition

    def offer(self, payload: bytes) -> bool:
        """Queues a record and never waits; False when the queue is full or the log is closed."""
        if self._closed or len(payload) > MAX_RECORD:
            return False
        try:
            self._queue.put_nowait((payload, None))
        except queue.Full:
            return False
        return True

    def append(self, payload: bytes) -> "Future[LogPosition]":
        """Queues a record; the future is done when it and everything queued before it are on disk."""
        future: Future[LogPosition] = Future()
        if self._closed:
            future.set_exception(Unavailable(f"partition {self._partition} is closed"))
        elif len(payload) > MAX_RECORD:
            future.set_exception(InvalidInput(f"a record of {len(payload)} bytes is over the limit of {MAX_RECORD}"))
        else:
            try:
                self._queue.put_nowait((payload, future))
            except queue.Full:
                future.set_exception(OverCapacity(f"partition {self._partition}: the queue is full"))
        return future

    def waiting(self) -> int:
        """How many records are queued."""
        return self._queue.qsize()

    def close(self) -> None:
        """Writes what is queued and closes."""
        if self._closed:
            return
        self._closed = True
        self._queue.put(None)
        self._thread.join()
        for handle in (self._file, self._mark, self._lock_file):
            os.close(handle)

    def _recover(self) -> int:
        """Opens the last segment, cuts a torn tail off, and returns the position after the last whole record."""
        known = segments(self._folder)
        if not known:
            self._open_segment(0)
            return 0
        start, path = known[-1]
        data = path.read_bytes()
        if len(data) < SEGMENT_HEADER.size:  # the process died while it began this segment
            path.unlink()
            self._open_segment(start)
            return start
        check_header(path, data, start)
        body = data[SEGMENT_HEADER.size :]
        position = start
        for record in records(body, start):
            position = record.end
        if position < _read_mark(self._folder):
            raise Corrupt(f"partition {self._partition} is damaged at {position}, before its durable end")
        self._file = os.open(path, os.O_RDWR | os.O_APPEND)
        self._segment_start = start
        os.ftruncate(self._file, SEGMENT_HEADER.size + position - start)
        os.fsync(self._file)
        return position

    def _open_segment(self, start: int) -> None:
        path = segment_path(self._folder, start)
        opened = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o644)
        try:
            _write_all(opened, SEGMENT_HEADER.pack(MAGIC, start))
            os.fsync(opened)
        except OSError:
            os.close(opened)
            path.unlink()  # so that it can be tried again
            raise
        self._file, self._segment_start = opened, start
        folder = os.open(self._folder, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)

    def _run(self) -> None:
        while True:
            batch, last = self._gather()
            if batch:
                self._commit(batch)
            if last:
                return

    def _gather(self) -> tuple[list[_Queued], bool]:
        batch: list[_Queued] = []
        item = self._queue.get()
        while item is not None:
            batch.append(item)
            if len(batch) >= _BATCH:
                return batch, False
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                return batch, False
        return batch, True

    def _commit(self, batch: list[_Queued]) -> None:
        try:
            ends = self._write(batch)
        except OSError as error:
            self._forget_tail()
            for _, future in batch:
                if future is not None:
                    future.set_exception(error)
            return
        for (_, future), end in zip(batch, ends, strict=True):
            if future is not None:
                future.set_result(LogPosition(self._partition, end))

    def _write(self, batch: list[_Queued]) -> list[int]:
        if self._position - self._segment_start >= self._segment_bytes:
            full = self._file
            self._open_segment(self._position)  # if the disk refuses it, the full one stays open, and is cut right
            os.close(full)
        frames = [frame(payload) for payload, _ in batch]
        _write_all(self._file, b"".join(frames))
        os.fdatasync(self._file)
        ends: list[int] = []
        position = self._position
        for framed in frames:
            position += len(framed)
            ends.append(position)
        self._set_durable(position)
        self._position = position  # last: what was refused is cut off again
        return ends

    def _forget_tail(self) -> None:
        """Cuts off what may have been written in part, so that the next batch stands where it should."""
        with contextlib.suppress(OSError):
            os.ftruncate(self._file, SEGMENT_HEADER.size + self._position - self._segment_start)

    def _set_durable(self, position: int) -> None:
        """Needs no sync of its own: after a crash of the machine an older mark is safe, and recovery sets it anew."""
        os.pwrite(self._mark, POSITION.pack(position), 0)


class FileEventReader:
    """Reads the partitions of a folder. Not thread-safe. Keeps the current segment of each partition open."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._open: dict[str, tuple[int, int]] = {}

    def partitions(self) -> tuple[str, ...]:
        """The partitions that exist, sorted."""
        if not self._root.is_dir():
            return ()
        return tuple(sorted(path.name for path in self._root.iterdir() if (path / DURABLE).exists()))

    def end(self, partition: str) -> int:
        """The position behind the last durable record."""
        return _read_mark(self._root / partition)

    def begin(self, partition: str) -> int:
        """The position from which all records are kept: of a partition that was trimmed, but for its first one."""
        known = segments(self._root / partition)
        return read_begin(self._root / partition) or (known[0][0] if known else 0)

    def read(self, partition: str, start: int, max_bytes: int) -> list[Record]:
        """Durable records from `start` on; of a partition that was trimmed its first one, and those that are kept."""
        folder = self._root / partition
        durable, begin = _read_mark(folder), read_begin(folder)
        if start == 0 < begin:
            return self._from(folder, partition, 0, 1, durable)[:1]
        return self._from(folder, partition, max(start, begin), max_bytes, durable)

    def _from(self, folder: Path, partition: str, start: int, max_bytes: int, durable: int) -> list[Record]:
        if start >= durable:
            return []
        begins, handle = self._segment(folder, partition, start)
        wanted = min(max_bytes, durable - start)
        if self._is_behind(handle, begins, start):
            self._close(partition)
            begins, handle = self._segment(folder, partition, start)
        found = self._read(handle, begins, start, wanted, durable)
        if not found:
            raise Corrupt(f"partition {partition} is damaged at {start}")
        return found

    def close(self) -> None:
        """Closes the open segments."""
        for partition in list(self._open):
            self._close(partition)

    def _read(self, handle: int, begins: int, start: int, wanted: int, durable: int) -> list[Record]:
        at = SEGMENT_HEADER.size + start - begins
        data = os.pread(handle, max(wanted, RECORD_HEADER.size), at)
        found = list(records(data, start))
        if not found and len(data) >= RECORD_HEADER.size:  # one record may be larger than what was asked for
            size, _ = RECORD_HEADER.unpack_from(data)
            if start + RECORD_HEADER.size + size <= durable:
                found = list(records(os.pread(handle, RECORD_HEADER.size + size, at), start))
        return [record for record in found if record.end <= durable]

    def _is_behind(self, handle: int, begins: int, start: int) -> bool:
        """Whether a position lies at the end of an open segment or behind it: then a later one holds it."""
        return os.fstat(handle).st_size <= SEGMENT_HEADER.size + start - begins

    def _segment(self, folder: Path, partition: str, start: int) -> tuple[int, int]:
        opened = self._open.get(partition)
        if opened is not None and opened[0] <= start:
            return opened
        self._close(partition)
        below = [(begins, path) for begins, path in segments(folder) if begins <= start]
        if not below:
            raise Corrupt(f"partition {partition} has no segment for position {start}")
        begins, path = below[-1]
        handle = os.open(path, os.O_RDONLY)
        try:
            check_header(path, os.pread(handle, SEGMENT_HEADER.size, 0), begins)
        except Corrupt:
            os.close(handle)
            raise
        self._open[partition] = (begins, handle)
        return begins, handle

    def _close(self, partition: str) -> None:
        opened = self._open.pop(partition, None)
        if opened is not None:
            os.close(opened[1])


def _lock(path: Path, partition: str) -> int:
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise Conflict(f"partition {partition} has a writer already") from None
    return handle


def _read_mark(folder: Path) -> int:
    try:
        data = (folder / DURABLE).read_bytes()
    except FileNotFoundError:
        return 0
    return int(POSITION.unpack(data)[0]) if len(data) == POSITION.size else 0


def _write_all(handle: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]
