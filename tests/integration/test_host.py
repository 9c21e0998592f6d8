"""A host with two workers, as real processes; the registry is played by the test."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from martlet.artifacts import FolderStore
from martlet.client.channel import CallPolicy
from martlet.client.serving import ServingClient
from martlet.v1 import registry_pb2
from martlet.versions import AspiredVersion, Role, VersionState
from martlet.wire.registry import status_of
from tests.integration.test_serving import CONTEXT, ITEMS, PlayedRegistry
from tests.integration.tiny_version import MODEL, TinyTrainer
from tests.metrics.promtool import promtool_faults
from tests.metrics.table import faults_of

WORKERS = {"serving-0-w0", "serving-0-w1"}


class Registry(PlayedRegistry):
    """Knows which replica holds what."""

    def __init__(self) -> None:
        super().__init__()
        self.ready: dict[str, set[int]] = {}

    async def ReportReplica(
        self, request: registry_pb2.ReportReplicaRequest, context: object
    ) -> registry_pb2.ReportReplicaResponse:
        statuses = [status_of(status) for status in request.servables]
        self.ready[request.replica] = {s.version for s in statuses if s.state is VersionState.READY}
        return registry_pb2.ReportReplicaResponse()


class Host:
    """The processes, and what a test does with them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.registry = Registry()  # type: ignore[abstract]  # it plays three RPCs of seven
        self.trainer = TinyTrainer(FolderStore(root / "artifacts"))
        self.trainer.learn("item", 3, [1.0] * 4)
        self.digests: list[str] = []

    async def start(self, **settings: str) -> None:
        await self.registry.server.start()
        ports = self.root / "ports.json"
        ports.unlink(missing_ok=True)
        environment = {
            "MARTLET_SERVING_WORKERS": "2",
            "MARTLET_SERVING_GRPC_PORT": "0",
            "MARTLET_SERVING_METRICS_PORT": "0",
            "MARTLET_SERVING_REGISTRY": f"127.0.0.1:{self.registry.port}",
            **settings,
        }
        self.process: Process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "serving_svc", "--data-dir", str(self.root), "--ports-file", str(ports),
            env={**os.environ, **environment},
        )  # fmt: skip
        await self.until(ports.exists)
        told = json.loads(ports.read_text())
        self.grpc_port, self.metrics_port = told["grpc_port"], told["metrics_port"]

    def publish(self) -> None:
        """The next version is head and pin."""
        self.digests.append(self.trainer.publish())
        number = len(self.digests)
        digest = self.digests[-1]
        self.registry.aspire(
            number, AspiredVersion(number, digest, Role.HEAD, 9000), AspiredVersion(number, digest, Role.PIN, 0)
        )

    async def ready(self, version: int) -> None:
        """Until both workers hold it."""
        await self.until(lambda: all(version in self.registry.ready.get(worker, set()) for worker in WORKERS))

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not condition():
                assert self.process.returncode is None
                await asyncio.sleep(0.02)

    async def page(self) -> str:
        address = f"http://127.0.0.1:{self.metrics_port}/metrics"
        return str(await asyncio.to_thread(lambda: urlopen(address, timeout=10).read().decode()))

    async def metrics(self) -> dict[str, float]:
        lines = [line.rsplit(" ", 1) for line in (await self.page()).splitlines() if not line.startswith("#")]
        return {name: float(value) for name, value in lines}

    def is_ready(self) -> bool:
        try:
            urlopen(f"http://127.0.0.1:{self.metrics_port}/ready", timeout=10).close()
        except HTTPError:
            return False
        return True

    def children(self) -> dict[str, int]:
        """Process ids by what the process is."""
        found = {}
        for pid in Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split():
            environment = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
            replica = next((value for value in environment if value.startswith("MARTLET_SERVING_REPLICA=")), "=builder")
            found[replica.split("=")[1]] = int(pid)
        return found

    async def ask(self, count: int = 1) -> set[int]:
        """Answers over fresh connections, so that both workers get some; the versions that answered."""
        versions = set()
        for _ in range(count):
            policy = CallPolicy(timeout=10, tries=4)
            async with ServingClient(f"127.0.0.1:{self.grpc_port}", policy=policy) as client:
                versions.add((await client.rank(MODEL, 1, ITEMS, CONTEXT)).version)
        return versions


def lives(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    host = Host(tmp_path)
    host.publish()
    await host.start()
    await host.ready(1)
    yield host
    if host.process.returncode is None:
        host.process.terminate()
        assert await host.process.wait() == 0
    await host.registry.server.stop(0)


async def test_workers_are_replicas_of_one_port_one_table_and_one_metrics_page(host: Host) -> None:
    assert await host.ask(24) == {1}
    told = await host.metrics()
    assert told['martlet_serving_answers_total{model="shop",version="1"}'] == 24
    assert told['martlet_serving_arena_buckets{state="live",table="t4"}'] > 0  # the builder's: not once for each worker
    assert told['martlet_serving_routed_version{model="shop",role="head"}'] == 1  # both workers'
    assert told["martlet_serving_ready"] == 1
    assert faults_of(await host.page(), "serving") == []
    assert promtool_faults(await host.page()) == ""
    assert told['martlet_serving_auth_denials_total{door="metrics",reason="unauthenticated"}'] == 0
    arenas = [path for path in (host.root / "arena").rglob("*") if path.is_file() and path.suffix == ".arena"]
    assert len(arenas) == 1
    partitions = {path.name for path in (host.root / "events").iterdir()}
    assert partitions == WORKERS
    assert host.is_ready()
    host.trainer.learn("item", 3, [2.0] * 4)
    host.publish()
    await host.ready(2)
    assert await host.ask(8) == {2}


async def test_who_dies_is_started_again_and_the_others_go_on(host: Host) -> None:
    assert await host.ask(8) == {1}
    before = host.children()
    os.kill(before["serving-0-w0"], signal.SIGKILL)
    host.registry.ready.pop("serving-0-w0")
    assert await host.ask(8) == {1}
    await host.ready(1)
    os.kill(before["builder"], signal.SIGKILL)
    assert await host.ask(4) == {1}
    host.trainer.learn("item", 3, [2.0] * 4)
    host.publish()
    await host.ready(2)
    assert await host.ask(8) == {2}
    after = host.children()
    assert before["serving-0-w1"] == after["serving-0-w1"]
    assert after["builder"] != before["builder"]
    metrics = await host.metrics()
    assert metrics['martlet_serving_worker_restarts_total{worker="serving-0-w0"}'] == 1


async def test_a_host_that_is_killed_leaves_nobody_behind(host: Host) -> None:
    pids = host.children().values()
    host.process.kill()
    await host.process.wait()
    async with asyncio.timeout(30):
        while any(map(lives, pids)):  # noqa: ASYNC110  they are nobody's children now
            await asyncio.sleep(0.02)


async def test_a_taken_place_is_told_and_ends_the_host(host: Host) -> None:
    second = Host(host.root)
    with pytest.raises(AssertionError):
        await second.start()
    assert await second.process.wait() == 2
    await second.registry.server.stop(0)
