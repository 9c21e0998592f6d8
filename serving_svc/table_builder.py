"""The host's table builder: the one process that writes arenas, for all workers of the host.

Workers map what it builds and read it in place; see `shared_tables`. A worker holds what it was given until it gives it
back or its connection ends, which the kernel sees to when it dies.
"""

import asyncio
import itertools
import logging
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from martlet.errors import MartletError, NotFound
from martlet.manifest import TableManifest
from serving_svc.table_messages import (
    LENGTH,
    Close,
    Closed,
    Opened,
    Reply,
    Request,
    body_length,
    framed,
    refusal_of,
    request_of,
)
from serving_svc.table_view import LoadedTable

_log = logging.getLogger(__name__)

T = TypeVar("T")


class Tables(Protocol):
    """The tables of one process (see `table_view.TableViews`)."""

    def open(self, table: TableManifest) -> LoadedTable:
        """The table; give it back with `close`."""
        ...

    def close(self, loaded: LoadedTable) -> None:
        """Gives it back."""
        ...


@dataclass(slots=True)
class _Placed:
    """A table that workers read.

    Attributes:
        directory: its directory, as a file.
        users: tickets for it.
    """

    directory: Path
    users: int = 0


@dataclass(slots=True, eq=False)
class _Worker:
    """One connection, and what it was given: ticket to table."""

    given: dict[int, LoadedTable] = field(default_factory=dict)


class TableBuilder:
    """Serves a socket. Lives on one event loop; the tables' work runs in the executor, which must have one thread.

    Args:
        folder: for directories; nobody else may enter it (mode 0700).
    """

    def __init__(self, tables: Tables, folder: Path, executor: Executor) -> None:
        self._tables = tables
        self._folder = folder
        self._executor = executor
        self._placed: dict[int, _Placed] = {}
        self._tickets = itertools.count(1)
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()

    async def start(self, socket: Path) -> None:
        """Listens; a socket that a dead builder left is replaced.

        Raises:
            OSError: there is no listening there.
        """
        await asyncio.to_thread(_make_room, socket, self._folder)
        self._server = await asyncio.start_unix_server(self._accept, socket)

    async def stop(self) -> None:
        """Hangs up. What was given stays as it is where it is mapped: nobody writes to it any more."""
        if self._server is not None:
            self._server.close()
        for serving in self._serving:
            serving.cancel()
        if self._serving:
            await asyncio.wait(set(self._serving))
            await asyncio.sleep(0)  # so that the sockets close, too

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._serving.add(serving)
        serving.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from a worker's first word to its end."""
        worker = _Worker()
        try:
            await self._converse(worker, reader, writer)
            for ticket in list(worker.given):
                await self._in_thread(partial(self._take_back, worker, ticket))
        finally:
            writer.close()

    async def _converse(self, worker: _Worker, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers until the worker hangs up."""
        try:
            while (body := await _next_body(reader)) is not None:
                writer.write(framed(await self._answer(worker, body)))
                await writer.drain()
        except (MartletError, OSError) as error:
            # Whoever sent this may still be reading what it was given: that stays its own until it hangs up.
            _log.warning("a worker is not heard any more: %s", error)
            while await _some(reader):
                pass

    async def _answer(self, worker: _Worker, body: bytes) -> Reply:
        request = request_of(body)
        try:
            return await self._in_thread(lambda: self._carry_out(worker, request))
        except Exception as error:  # noqa: BLE001  the worker asked, and decides what it means
            return refusal_of(error)

    def _carry_out(self, worker: _Worker, request: Request) -> Reply:
        if isinstance(request, Close):
            self._take_back(worker, request.ticket)
            return Closed()
        loaded = self._tables.open(request.table)
        try:
            directory = self._place(loaded)
        except BaseException:
            self._tables.close(loaded)
            raise
        ticket = next(self._tickets)
        worker.given[ticket] = loaded
        return _told(ticket, loaded, directory)

    def _place(self, loaded: LoadedTable) -> Path:
        placed = self._placed.get(id(loaded))
        if placed is None:
            path = self._folder / f"{next(self._tickets)}.directory"
            path.write_bytes(np.ascontiguousarray(loaded.view.directory).tobytes())
            placed = self._placed[id(loaded)] = _Placed(path)
        placed.users += 1
        return placed.directory

    def _take_back(self, worker: _Worker, ticket: int) -> None:
        loaded = worker.given.pop(ticket, None)
        if loaded is None:
            raise NotFound(f"this worker was not given a table with ticket {ticket}")
        placed = self._placed[id(loaded)]
        placed.users -= 1
        if not placed.users:
            del self._placed[id(loaded)]
            placed.directory.unlink(missing_ok=True)
        self._tables.close(loaded)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)


def _make_room(socket: Path, folder: Path) -> None:
    for private in (socket.parent, folder):
        private.mkdir(parents=True, exist_ok=True, mode=0o700)
        private.chmod(0o700)
    socket.unlink(missing_ok=True)


def _told(ticket: int, loaded: LoadedTable, directory: Path) -> Opened:
    rows: npt.NDArray[np.generic] = loaded.rows
    return Opened(
        ticket=ticket,
        arena=str(loaded.path),
        buckets=loaded.keys.shape[0],
        width=rows.shape[1],
        dtype=str(rows.dtype),
        rows_at=loaded.rows_at,
        directory=str(directory),
        special=tuple(loaded.view.special.tolist()),
    )


async def _next_body(reader: asyncio.StreamReader) -> bytes | None:
    """The next message's body; None: the worker hung up."""
    try:
        return await reader.readexactly(body_length(await reader.readexactly(LENGTH.size)))
    except asyncio.IncompleteReadError:
        return None


async def _some(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read(1 << 16)
    except OSError:
        return b""
