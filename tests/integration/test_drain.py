"""A signal ends a service process in order: what is in flight is answered, what is endless is ended, exit code 0."""

import asyncio
import json
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from martlet.client.channel import CallPolicy
from martlet.client.health import Health, health_of
from martlet.client.registry import RegistryClient
from martlet.errors import Unavailable

ONCE = CallPolicy(timeout=10, tries=1)


@pytest.fixture
async def process(tmp_path: Path) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.integration.slow_service",
        "--ports-file",
        str(tmp_path / "ports.json"),
        stdout=PIPE,
        stderr=PIPE,
    )
    yield process
    if process.returncode is None:
        process.kill()
        await process.communicate()


async def announced(process: Process) -> dict[str, object]:
    assert process.stdout is not None
    line: dict[str, object] = json.loads(await process.stdout.readline())
    return line


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains(process: Process, number: signal.Signals) -> None:
    address = f"127.0.0.1:{(await announced(process))['grpc_port']}"
    assert await health_of(address) is Health.SERVING
    client = RegistryClient(address, policy=ONCE)
    async with aclosing(client.watch([], "")) as sets:
        await anext(sets)
        in_flight = asyncio.create_task(client.lineage("shop"))
        await asyncio.sleep(0.1)
        started = time.monotonic()
        process.send_signal(number)
        with pytest.raises(StopAsyncIteration):
            await anext(sets)
        assert (await in_flight).head_digest == "open"
    assert await process.wait() == 0
    assert time.monotonic() - started < 5  # the grace is 20 s: nothing waited for it
    _, error = await process.communicate()
    assert error == b"closed\n"
    with pytest.raises(Unavailable):
        await client.lineage("shop")
    await client.close()


async def test_a_signal_right_after_the_announcement_is_an_orderly_end(process: Process) -> None:
    await announced(process)
    process.send_signal(signal.SIGTERM)
    assert await process.wait() == 0


async def test_the_ports_are_announced_on_stdout_and_in_the_file(process: Process, tmp_path: Path) -> None:
    line = await announced(process)
    async with asyncio.timeout(5):
        while not (tmp_path / "ports.json").exists():  # noqa: ASYNC110  another process writes it
            await asyncio.sleep(0.01)
    assert json.loads((tmp_path / "ports.json").read_text()) == line
    assert line["service"] == "slow"
    assert line["grpc_port"] != line["metrics_port"]
