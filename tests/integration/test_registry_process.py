"""`python -m registry_svc`: it starts, ends in order, survives a kill, and says in one line what is wrong."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from martlet.artifacts import FolderStore
from martlet.client.registry import BlockingRegistryClient, RegistryClient
from martlet.manifest import encode_manifest
from tests.unit.registry.samples import SmallVersions

FREE = {"MARTLET_REGISTRY_GRPC_PORT": "0", "MARTLET_REGISTRY_METRICS_PORT": "0"}


class Home:
    """A data folder and the registries started on it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.processes: list[subprocess.Popen[str]] = []

    def start(self, **settings: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "registry_svc", "--data-dir", str(self.root)]
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, env=FREE | settings, stdout=pipe, stderr=pipe, text=True)
        self.processes.append(process)
        return process

    def end(self) -> None:
        for process in self.processes:
            process.kill()
            process.communicate()


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path)
    yield home
    home.end()


def address_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return f"127.0.0.1:{json.loads(process.stdout.readline())['grpc_port']}"


async def test_it_ends_in_order_while_it_is_watched(home: Home) -> None:
    process = await asyncio.to_thread(home.start)
    client = RegistryClient(await asyncio.to_thread(address_of, process))
    watch = client.watch([], "r1")
    await anext(watch)
    started = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(process.wait, 10) == 0
    assert time.monotonic() - started < 3.0
    await watch.aclose()
    await client.close()


def test_what_it_told_survives_a_kill(home: Home) -> None:
    versions = SmallVersions(FolderStore(home.root / "artifacts"))
    first = home.start()
    client = BlockingRegistryClient(address_of(first))
    told = client.publish(encode_manifest(versions.newest))
    first.kill()
    first.wait()
    client.close()
    client = BlockingRegistryClient(address_of(home.start()))
    assert client.version("shop", 1) == told
    assert client.lineage("shop").head_digest == told.digest
    client.close()


@pytest.mark.parametrize(
    ("setting", "value", "told"),
    [
        ("MARTLET_REGISTRY_CATALOG_URL", "unknowndb://host/name", "registry.catalog_url"),
        ("MARTLET_REGISTRY_LEASE_MS", "soon", "lease_ms"),
    ],
)
def test_a_bad_setting_is_one_line_that_names_it(home: Home, setting: str, value: str, told: str) -> None:
    process = home.start(**{setting: value})
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 2
    assert told in errors
    assert len(errors.splitlines()) == 1


def test_a_taken_port_is_one_line(home: Home) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        process = home.start(MARTLET_REGISTRY_GRPC_PORT=str(taken.getsockname()[1]))
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 2
    assert errors.strip().splitlines()[-1].startswith("martlet-registry: cannot listen on 127.0.0.1:")
    assert "Traceback" not in errors
