"""Given the loop under traffic, when any service is killed, then it resumes by itself and learns each outcome once."""

import asyncio
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from examples.demo.processes import Services
from martlet.client.channel import CallPolicy
from martlet.client.registry import RegistryClient
from martlet.client.serving import ServingClient
from martlet.client.trainer import TrainerClient
from martlet.manifest import decode_manifest
from martlet.replay.datasets import Rating, interleaved, synthetic
from martlet.replay.traffic import MODEL, Traffic
from martlet.versions import VersionState
from martlet.wire.trainer import TrainerStatus

EVENTS = 1600
CONCURRENCY = 8
SETTINGS = {
    "MARTLET_TRAINER_MODEL": "examples.movielens.model:MODEL",
    "MARTLET_TRAINER_PUBLISH_INTERVAL_MS": "300",
    "MARTLET_TRAINER_CHECKPOINT_INTERVAL_SECONDS": "1",
    "MARTLET_TRAINER_INITIAL_BUCKETS": "64",
}
PATIENT = CallPolicy(timeout=40.0, tries=400, backoff=0.02)


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    services = Services(tmp_path, SETTINGS)
    yield services
    services.stop_all()


async def ready(serving: ServingClient) -> None:
    for _ in range(600):
        if any(status.state is VersionState.READY for status in await serving.status()):
            return
        await asyncio.sleep(0.1)
    pytest.fail("no version became ready")


async def settled(trainer: TrainerClient, acknowledged: int) -> TrainerStatus:
    for _ in range(600):
        status = await trainer.status()
        if status.learned + status.dead_lettered + status.pending >= acknowledged:
            return status
        await asyncio.sleep(0.1)
    pytest.fail(f"the trainer never caught up: {status}")


async def published_all(registry: RegistryClient, learned: int) -> None:
    """Publishing goes on by itself until the head holds everything that was learned."""
    for _ in range(300):
        head = await registry.version(MODEL, (await registry.lineage(MODEL)).head_version)
        examples = decode_manifest(head.manifest).learned.examples
        if examples == learned:
            return
        await asyncio.sleep(0.1)
    pytest.fail(f"the head holds {examples} of {learned} examples")


def audited(root: Path) -> dict[str, object]:
    command = [sys.executable, "-m", "trainer_svc", "audit", "--data-dir", str(root / "data"), "--answers", "500"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **SETTINGS})
    assert done.stdout, done.stderr
    report: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return report


def scraped(port: int) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as page:
        return bytes(page.read())


async def drive(services: Services, traffic: Traffic, events: Iterator[Rating]) -> None:
    """Traffic all the time; each service dies once, without warning."""
    quarter = EVENTS // 4
    await traffic.run(islice(events, quarter), CONCURRENCY)
    for name in ("trainer", "registry", "serving"):
        going = asyncio.create_task(traffic.run(islice(events, quarter), CONCURRENCY))
        await asyncio.sleep(0.3)
        services.running[name].kill()
        await asyncio.sleep(0.7 if name == "registry" else 0.0)
        await asyncio.to_thread(services.start, name)
        await going


async def test_each_service_is_killed_once(services: Services, tmp_path: Path) -> None:
    for name in ("registry", "serving", "trainer"):
        services.start(name)
    dataset = synthetic(EVENTS)
    serving = ServingClient(services.running["serving"].address, policy=PATIENT)
    registry = RegistryClient(services.running["registry"].address, policy=PATIENT)
    trainer = TrainerClient(services.running["trainer"].address, policy=PATIENT)
    await ready(serving)
    traffic = Traffic(serving, dataset, others=2, rate=400.0)
    await drive(services, traffic, interleaved(dataset.ratings))

    answers = traffic.answers
    assert answers.failures == []
    assert answers.requests == EVENTS
    status = await settled(trainer, EVENTS)
    # An answer whose process died before its record was on disk has no prediction: its outcome is kept, not learned.
    assert status.learned >= EVENTS - 2 * CONCURRENCY
    assert status.learned + status.dead_lettered + status.pending == EVENTS
    assert status.excluded == 0
    await published_all(registry, status.learned)
    for name in ("trainer", "serving", "registry"):
        assert b"martlet_" in await asyncio.to_thread(scraped, services.running[name].metrics_port)
    await asyncio.gather(serving.close(), registry.close(), trainer.close())
    assert status.last_checkpoint_step > 0
    assert services.running["trainer"].stop() == 0
    report = audited(tmp_path)
    assert report["digests_equal"] is True
    events = report["events"]
    assert isinstance(events, dict)
    assert events["learned"] == status.learned
    assert isinstance(report["parity_max_abs_diff"], float)
    assert report["parity_max_abs_diff"] <= 1e-6


async def test_serving_answers_while_trainer_and_registry_are_away(services: Services) -> None:
    for name in ("registry", "serving", "trainer"):
        services.start(name)
    dataset = synthetic(300)
    serving = ServingClient(services.running["serving"].address, policy=PATIENT)
    await ready(serving)
    traffic = Traffic(serving, dataset, others=2, rate=400.0)
    stream = interleaved(dataset.ratings)
    await traffic.run(islice(stream, 100), CONCURRENCY)
    services.running["trainer"].kill()
    services.running["registry"].kill()
    await asyncio.sleep(6.0)  # the live lane's lease is over
    await traffic.run(stream, CONCURRENCY)
    assert traffic.answers.failures == []
    assert not any(traffic.answers.live[-200:]), "without its lease the live lane must not answer"
    await serving.close()
