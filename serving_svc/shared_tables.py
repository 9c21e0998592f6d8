"""The tables of a worker: built by the host's table builder, mapped here, read in place.

A second worker on a host costs no second table. When the builder dies, what is mapped stays as it is, since nobody
writes to it any more; what is opened after that comes from the builder that was started in its place.
"""

import contextlib
import mmap
import os
import socket
import time
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

import numpy as np
import numpy.typing as npt

from martlet.errors import Corrupt, Unavailable
from martlet.manifest import TableManifest
from martlet.table_layout import SLOTS
from serving_svc.table_messages import (
    LENGTH,
    Close,
    Open,
    Opened,
    Refused,
    Reply,
    body_length,
    error_of,
    framed,
    reply_of,
)

ANSWER_SECONDS: Final = 600.0  # building a large base takes its time, and other workers' requests come first
PATIENCE_SECONDS: Final = 15.0
RETRY_SECONDS: Final = 0.05
_KEY_BYTES: Final = 8
_POPULATE_READ: Final = 22  # MADV_POPULATE_READ, Linux 5.14


@dataclass(frozen=True, slots=True)
class SharedView:
    """What one version sees of an arena.

    Attributes:
        directory: int32[n], logical bucket to physical bucket.
        special: int64[s], the rows of the special rows.
    """

    directory: npt.NDArray[np.int32]
    special: npt.NDArray[np.int64]


@dataclass(eq=False, slots=True)
class SharedTable:
    """One chain, mapped read-only.

    Attributes:
        keys: int64[P, 4], all physical buckets of the arena.
        rows: [P * 4, width].
    """

    table: TableManifest
    keys: npt.NDArray[np.int64]
    rows: npt.NDArray[np.generic]
    view: SharedView
    ticket: int
    connection: "_Connection"


class SharedTables:
    """All tables of this worker. For one thread at a time: the loader's; opening and closing block on the builder.

    Args:
        builder: the builder's socket.
        patience: seconds to wait for a builder; one that died is started again soon, and a version should not fail
            for that.
    """

    def __init__(self, builder: Path, patience: float = PATIENCE_SECONDS) -> None:
        self._builder = builder
        self._patience = patience
        self._connection: _Connection | None = None

    def open(self, table: TableManifest) -> SharedTable:
        """The table, built by the builder unless it is there already. Give it back with `close`.

        Raises:
            Corrupt: a blob is damaged or does not fit its place in the chain.
            NotFound, OverCapacity: as the builder says.
            Unavailable: no builder answers.
        """
        connection, opened = self._opened(table)
        if not isinstance(opened, Opened):
            raise Corrupt(f"the table builder answers {type(opened).__name__}")
        connection.users += 1
        try:
            return _mapped(table, opened, connection)
        except BaseException:
            connection.give_back(opened.ticket)
            raise

    def _opened(self, table: TableManifest) -> "tuple[_Connection, Reply]":
        """Asks once more where the builder dies over it: the next one has done nothing of it."""
        connection = self._connected()
        try:
            return connection, connection.ask(Open(table))
        except Unavailable:
            if not connection.broken:
                raise
        connection = self._connected()
        return connection, connection.ask(Open(table))

    def _connected(self) -> "_Connection":
        if self._connection is None or self._connection.broken:
            self._connection = _Connection(self._builder, self._patience)
        return self._connection

    def close(self, loaded: SharedTable) -> None:
        """Gives a table back. Nobody may read its arrays any more."""
        loaded.connection.give_back(loaded.ticket)

    def disconnect(self) -> None:
        """Hangs up, which gives everything back: only where nothing is read any more."""
        if self._connection is not None:
            self._connection.end()
            self._connection = None


class _Connection:
    """A connection to one builder. It stays open while anything is held through it, since its end gives all back.

    Attributes:
        users: tables held.
        broken: nothing more is asked through it.
    """

    def __init__(self, builder: Path, patience: float) -> None:
        self.users = 0
        self.broken = False
        self._arenas: weakref.WeakValueDictionary[str, mmap.mmap] = weakref.WeakValueDictionary()
        self._socket = _connected(builder, time.monotonic() + patience)
        self._socket.settimeout(ANSWER_SECONDS)

    def ask(self, request: Open | Close) -> Reply:
        """One question, one answer."""
        try:
            self._socket.sendall(framed(request))
            reply = reply_of(self._read(body_length(self._read(LENGTH.size))))
        except (OSError, Corrupt) as error:
            self.broken = True
            self._end_if_unused()
            raise Unavailable(f"the table builder does not answer: {error}") from error
        if isinstance(reply, Refused):
            raise error_of(reply)
        return reply

    def give_back(self, ticket: int) -> None:
        """One table less. A builder that died has nothing to take back."""
        self.users -= 1
        if self.broken:
            self._end_if_unused()
            return
        try:
            self.ask(Close(ticket))
        except Unavailable:
            return

    def arena(self, opened: Opened, buckets: int) -> mmap.mmap:
        """The arena's file, mapped once for all versions in it. A builder uses no name twice."""
        arena = self._arenas.get(opened.arena)
        if arena is None:
            arena = self._arenas[opened.arena] = _map(Path(opened.arena))
            _populate(arena, opened, buckets)
        return arena

    def end(self) -> None:
        """Hangs up."""
        self.broken = True
        self._socket.close()

    def _end_if_unused(self) -> None:
        if not self.users:
            self._socket.close()

    def _read(self, length: int) -> bytes:
        parts = bytearray()
        while len(parts) < length:
            part = self._socket.recv(length - len(parts))
            if not part:
                raise OSError("it hung up")
            parts += part
        return bytes(parts)


def _connected(builder: Path, until: float) -> socket.socket:
    """A connection; tried again until then (monotonic seconds)."""
    while True:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(str(builder))
        except OSError as error:
            connection.close()
            if time.monotonic() >= until:
                raise Unavailable(f"no table builder answers: {error}") from error
            time.sleep(RETRY_SECONDS)
        else:
            return connection


def _mapped(table: TableManifest, opened: Opened, connection: _Connection) -> SharedTable:
    count = opened.buckets * SLOTS
    try:
        arena = connection.arena(opened, table.buckets)
        keys = np.frombuffer(arena, np.int64, count).reshape(opened.buckets, SLOTS)
        rows = np.frombuffer(arena, np.dtype(opened.dtype), count * opened.width, opened.rows_at)
        logical = np.frombuffer(_map(Path(opened.directory)), np.int32, table.buckets)
    except (ValueError, TypeError) as error:
        raise Corrupt(f"the arena of table {table.name!r} is not as the builder says: {error}") from error
    view = SharedView(logical, np.array(opened.special, np.int64))
    shaped = cast("npt.NDArray[np.generic]", rows.reshape(-1, opened.width))
    return SharedTable(table, keys, shaped, view, opened.ticket, connection)


def _map(path: Path) -> mmap.mmap:
    """A file's pages, read-only, shared with all who map it."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return mmap.mmap(handle, 0, mmap.MAP_SHARED, mmap.PROT_READ)
    finally:
        os.close(handle)


def _populate(arena: mmap.mmap, opened: Opened, buckets: int) -> None:
    """Maps the pages of the base now, where the kernel can; otherwise the first requests wait for them."""
    row_bytes = np.dtype(opened.dtype).itemsize * opened.width
    with contextlib.suppress(OSError, ValueError):
        arena.madvise(_POPULATE_READ, 0, buckets * SLOTS * _KEY_BYTES)
        start = opened.rows_at - opened.rows_at % mmap.PAGESIZE
        arena.madvise(_POPULATE_READ, start, buckets * SLOTS * row_bytes)
