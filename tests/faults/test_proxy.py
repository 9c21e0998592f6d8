"""Each road does to bytes what its name says."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from benchmarks.operations.fault_proxy import TRUNCATED_AT, Link, Road

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n"
BODY = bytes(range(250)) * 16


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(HEAD + BODY)
    await writer.drain()
    writer.close()


@pytest.fixture
async def link() -> AsyncIterator[Link]:
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    link = Link(server.sockets[0].getsockname()[1], seed=1)
    await link.start()
    yield link
    await link.close()
    server.close()


async def asked(link: Link) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
    try:
        writer.write(REQUEST)
        return await reader.read(-1)
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


async def test_an_open_road_changes_nothing(link: Link) -> None:
    assert await asked(link) == HEAD + BODY


async def test_a_corrupting_road_flips_bits_of_the_body_alone(link: Link) -> None:
    link.take(Road.CORRUPT)
    got = await asked(link)
    assert got[: len(HEAD)] == HEAD
    assert len(got) == len(HEAD + BODY)
    assert got[len(HEAD) :] != BODY
    assert link.passed.flipped > 0


async def test_a_truncating_road_ends_early(link: Link) -> None:
    link.take(Road.TRUNCATING)
    assert len(await asked(link)) <= TRUNCATED_AT
    assert link.passed.cut == 1


async def test_a_refusing_road_answers_500(link: Link) -> None:
    link.take(Road.REFUSING)
    assert (await asked(link)).startswith(b"HTTP/1.1 500")


async def test_a_slow_road_takes_its_time(link: Link) -> None:
    link.take(Road.SLOW, 0.1)
    began = time.monotonic()
    assert await asked(link) == HEAD + BODY
    assert time.monotonic() - began >= 0.2


async def test_a_partition_holds_everything_until_it_heals(link: Link) -> None:
    link.take(Road.HELD)
    asking = asyncio.create_task(asked(link))
    assert not (await asyncio.wait([asking], timeout=0.2))[0]
    link.take(Road.OPEN)
    assert await asking == HEAD + BODY
