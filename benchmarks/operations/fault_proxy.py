"""A stretch of network between two processes: TCP passed on, or delayed, cut, held, corrupted.

The kernel's own network emulation is not everywhere; this needs nothing but sockets.
"""

import asyncio
import contextlib
from dataclasses import dataclass
from enum import Enum
from random import Random
from typing import Final

CHUNK: Final = 1 << 16
CLOSE_S: Final = 2.0
HEAD_END: Final = b"\r\n\r\n"
FAILURE: Final = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
TRUNCATED_AT: Final = 700  # bytes of an answer: a head, and a little of what it announces


class Road(Enum):
    """How bytes travel."""

    OPEN = "open"
    SLOW = "slow"
    HELD = "held"  # a partition: connections stay, nothing arrives until it heals
    CORRUPT = "corrupt"
    REFUSING = "refusing"
    TRUNCATING = "truncating"


@dataclass(slots=True)
class Passed:
    """What a link has done.

    Attributes:
        flipped: bytes changed. `refused`: connections answered by an error. `cut`: answers cut short.
    """

    connections: int = 0
    flipped: int = 0
    refused: int = 0
    cut: int = 0


class Link:
    """Listens on a loopback port and passes on to another one. Lives on one event loop.

    Attributes:
        port: where it listens, once started.
    """

    def __init__(self, to_port: int, seed: int) -> None:
        self._to_port = to_port
        self._dice = Random(seed)  # noqa: S311  noise is no secret
        self._road = Road.OPEN
        self._seconds = 0.0
        self._open = asyncio.Event()
        self._open.set()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self.port = 0
        self.passed = Passed()

    async def start(self) -> None:
        """Listens."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def take(self, road: Road, seconds: float = 0.0) -> None:
        """From now on; `seconds` a chunk and direction where it is slow. Where answers change, connections break."""
        self._road, self._seconds = road, seconds
        (self._open.clear if road is Road.HELD else self._open.set)()
        if road in {Road.REFUSING, Road.TRUNCATING}:
            self._break()

    async def close(self) -> None:
        """Ends it; what is passed on ends by itself once its connections have."""
        if self._server is not None:
            self._server.close()
        self._open.set()
        self._break()
        if self._serving:
            await asyncio.wait(self._serving, timeout=CLOSE_S)

    def _break(self) -> None:
        for writer in tuple(self._writers):
            with contextlib.suppress(Exception):
                writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.passed.connections += 1
        self._writers.add(writer)
        serving = asyncio.current_task()
        assert serving is not None
        self._serving.add(serving)
        serving.add_done_callback(self._serving.discard)
        try:
            await self._open.wait()
            if self._road is Road.REFUSING:
                await self._refuse(reader, writer)
            else:
                await self._join(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _refuse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(HEAD_END)
        self.passed.refused += 1
        writer.write(FAILURE)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._to_port)
        self._writers.add(back)
        try:
            ways = (self._pass(reader, back, answers=False), self._pass(there, writer, answers=True))
            tasks = [asyncio.create_task(way) for way in ways]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            self._writers.discard(back)
            back.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool) -> None:
        sent = 0
        while data := await reader.read(CHUNK):
            if self._road is Road.SLOW:
                await asyncio.sleep(self._seconds)
            await self._open.wait()
            if answers and self._road is Road.CORRUPT:
                data = self._flipped(data)
            if answers and self._road is Road.TRUNCATING and sent + len(data) > TRUNCATED_AT:
                self.passed.cut += 1
                writer.write(data[: max(0, TRUNCATED_AT - sent)])
                await writer.drain()
                return
            writer.write(data)
            await writer.drain()
            sent += len(data)

    def _flipped(self, data: bytes) -> bytes:
        """One bit of the body, or of what is no head."""
        start = data.find(HEAD_END) + len(HEAD_END) if data.startswith(b"HTTP/") else 0
        if start >= len(data):
            return data
        changed = bytearray(data)
        changed[self._dice.randrange(start, len(data))] ^= 1 << self._dice.randrange(8)
        self.passed.flipped += 1
        return bytes(changed)
