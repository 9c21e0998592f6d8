"""The whole loop on JetStream, PostgreSQL and S3, by settings alone; trainer, serving and broker die meanwhile."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from examples.demo.processes import Services
from martlet.client.channel import CallPolicy
from martlet.client.registry import RegistryClient
from martlet.client.serving import ServingClient
from martlet.client.trainer import TrainerClient
from martlet.manifest import Manifest, decode_manifest
from martlet.replay.datasets import interleaved, synthetic
from martlet.replay.traffic import MODEL, Traffic
from martlet.versions import VersionState
from martlet.wire.trainer import TrainerStatus
from tests.servers.nats import NatsServer
from tests.servers.s3 import BUCKET, REGION, S3Server

EVENTS = 900
CONCURRENCY = 8
SETTINGS = {
    "MARTLET_TRAINER_MODEL": "examples.movielens.model:MODEL",
    "MARTLET_TRAINER_PUBLISH_INTERVAL_MS": "300",
    "MARTLET_TRAINER_CHECKPOINT_INTERVAL_SECONDS": "1",
    "MARTLET_TRAINER_INITIAL_BUCKETS": "64",
    "MARTLET_REGISTRY_QUALITY": "health",
    "MARTLET_REGISTRY_PIN_MIN_SECONDS": "0.5",
    "MARTLET_REGISTRY_PIN_MIN_REQUESTS": "20",
}
PATIENT = CallPolicy(timeout=40.0, tries=400, backoff=0.02)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[NatsServer]:
    """One that may be killed."""
    server = NatsServer(tmp_path / "nats")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def settings(broker: NatsServer, postgres_url: str, s3_server: S3Server) -> dict[str, str]:
    return SETTINGS | {
        "MARTLET_EVENT_LOG_KIND": "jetstream",
        "MARTLET_EVENT_LOG_URL": broker.url,
        "MARTLET_REGISTRY_CATALOG_URL": postgres_url,
        "MARTLET_ARTIFACTS_KIND": "s3",
        "MARTLET_ARTIFACTS_BUCKET": BUCKET,
        "MARTLET_ARTIFACTS_PREFIX": "loop",
        "MARTLET_ARTIFACTS_ENDPOINT": s3_server.endpoint,
        "MARTLET_ARTIFACTS_REGION": REGION,
    }


class Loop:
    """Clients of the three services. Made on the test's event loop."""

    def __init__(self, services: Services) -> None:
        running = services.running
        self.serving = ServingClient(running["serving"].address, policy=PATIENT)
        self.registry = RegistryClient(running["registry"].address, policy=PATIENT)
        self.trainer = TrainerClient(running["trainer"].address, policy=PATIENT)

    async def ready(self) -> None:
        async def serves() -> bool:
            return any(status.state is VersionState.READY for status in await self.serving.status())

        await until("a version that serves", serves)

    async def settled(self, told: int) -> TrainerStatus:
        async def all_accounted_for() -> bool:
            status = await self.trainer.status()
            return status.learned + status.dead_lettered + status.pending >= told

        await until("all outcomes are accounted for", all_accounted_for)
        return await self.trainer.status()

    async def head(self) -> Manifest:
        record = await self.registry.version(MODEL, (await self.registry.lineage(MODEL)).head_version)
        return decode_manifest(record.manifest)

    async def pinned(self) -> int:
        return (await self.registry.lineage(MODEL)).pin_version

    async def close(self) -> None:
        await asyncio.gather(self.serving.close(), self.registry.close(), self.trainer.close())


async def until(what: str, met: Callable[[], Any], seconds: float = 60.0) -> None:
    for _ in range(int(seconds / 0.1)):
        if await met():
            return
        await asyncio.sleep(0.1)
    pytest.fail(f"never came: {what}")


@pytest.fixture
def services(tmp_path: Path, settings: dict[str, str]) -> Iterator[Services]:
    services = Services(tmp_path, settings)
    for name in ("registry", "serving", "trainer"):
        services.start(name)
    yield services
    services.stop_all()


async def under_traffic(traffic: Traffic, events: Iterator[Any], fault: Callable[[], None]) -> None:
    going = asyncio.create_task(traffic.run(islice(events, EVENTS // 4), CONCURRENCY))
    await asyncio.sleep(0.3)
    await asyncio.to_thread(fault)
    await going


def audited(root: Path, settings: dict[str, str]) -> dict[str, Any]:
    command = [sys.executable, "-m", "trainer_svc", "audit", "--data-dir", str(root / "data"), "--answers", "300"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | settings)
    assert done.stdout, done.stderr
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return report


async def test_the_loop_on_real_parts(
    services: Services, broker: NatsServer, settings: dict[str, str], tmp_path: Path
) -> None:
    loop = Loop(services)
    await loop.ready()
    dataset = synthetic(EVENTS)
    traffic, events = Traffic(loop.serving, dataset, others=2, rate=300.0), interleaved(dataset.ratings)
    await traffic.run(islice(events, EVENTS // 4), CONCURRENCY)

    def restart(name: str) -> None:
        services.running[name].kill()
        services.start(name)

    def restart_broker() -> None:
        broker.kill()
        broker.start()

    for fault in (lambda: restart("trainer"), restart_broker, lambda: restart("serving")):
        await under_traffic(traffic, events, fault)

    assert traffic.answers.failures == []
    status = await loop.settled(EVENTS)
    # An answer whose process died before its record was durable has no prediction: its outcome is kept, not learned.
    assert status.learned >= EVENTS - 4 * CONCURRENCY
    assert status.learned + status.dead_lettered + status.pending == EVENTS

    async def published() -> bool:
        return (await loop.head()).learned.examples == status.learned

    await until("the head holds all that was learned", published)
    assert await loop.pinned() > 1, "nothing was promoted"
    assert not (tmp_path / "data" / "events").exists()
    assert not (tmp_path / "data" / "artifacts").exists()
    assert not (tmp_path / "data" / "catalog.db").exists()
    await loop.close()
    assert services.running["trainer"].stop() == 0
    report = audited(tmp_path, settings)
    assert report["digests_equal"] is True
    assert report["events"]["learned"] == status.learned
    assert report["parity_max_abs_diff"] <= 1e-6
