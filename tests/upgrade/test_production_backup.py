"""Given the loop on JetStream, PostgreSQL and S3, when all of it is lost and restored, then each event counts once."""

import asyncio
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from shutil import rmtree

import pytest

from examples.demo.processes import Services
from martlet.clock import SystemClock
from martlet.events import Outcome, Prediction
from martlet.replay.traffic import MODEL
from martlet.runtime.config import load_config
from martlet.runtime.parts import event_log
from tests.servers import stream_snapshot
from tests.servers.nats import NatsServer
from tests.servers.postgres import PostgresServer, programs
from tests.servers.s3 import BUCKET, REGION, S3Server
from tests.upgrade.the_loop import SETTINGS, Loop, accounted, events_of, kill_all, martlet

EVENTS = 500


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[NatsServer]:
    """One that may be lost."""
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
        "MARTLET_REGISTRY_VERSIONS_KEPT": "0",
        "MARTLET_ARTIFACTS_KIND": "s3",
        "MARTLET_ARTIFACTS_BUCKET": BUCKET,
        "MARTLET_ARTIFACTS_PREFIX": "backed-up",
        "MARTLET_ARTIFACTS_ENDPOINT": s3_server.endpoint,
        "MARTLET_ARTIFACTS_REGION": REGION,
        "PATH": f"{programs()}{os.pathsep}{os.environ['PATH']}",  # pg_dump of the server's own release
    }


@pytest.mark.timeout(240)
async def test_the_rehearsal_on_real_parts(
    settings: dict[str, str],
    broker: NatsServer,
    postgres_server: PostgresServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    data, backup, streams = tmp_path / "data", tmp_path / "backup", tmp_path / "streams"
    services = Services(tmp_path, settings)
    try:
        loop = await Loop.of(services, EVENTS)
        going = asyncio.create_task(loop.send(EVENTS))
        await loop.head_above(2)
        hold = f"{sys.executable} -m tests.servers.stream_snapshot {broker.url} {streams}"
        taken = await asyncio.to_thread(martlet, "backup", str(backup), "--data-dir", str(data), "--hold", hold)
        assert taken["elsewhere"].keys() == {"catalog", "event_log", "artifacts"}
        await going
        await loop.send(50)  # a fast machine has sent the others before the backup is taken
        await loop.close()
        kill_all(services)
    finally:
        services.stop_all()

    # Everything but the objects is gone: they are never replaced, and a bucket has copies of its own.
    broker.kill()
    rmtree(tmp_path / "nats" / "store")
    rmtree(data)
    broker.start()
    settings["MARTLET_REGISTRY_CATALOG_URL"] = postgres_server.new_database()

    await stream_snapshot.restore(broker.url, streams)
    put_back_the_catalog(settings, backup)
    martlet("restore", str(backup), "--data-dir", str(data))
    held = [event.event_id for event in log_of() if isinstance(event, Outcome)]
    assert 0 < len(held) < EVENTS + 50

    services = Services(tmp_path, settings)
    try:
        loop = await Loop.of(services, EVENTS)
        await loop.settled(len(held))
        head = await loop.head()
        await loop.send(100)
        status = await loop.settled(len(held) + 100)
        assert (accounted(status), status.duplicates) == (len(held) + 100, 0)
        await loop.head_above(head)
        digests = {record.version: record.digest for record in await loop.registry.versions(MODEL)}
        for event in log_of():
            if isinstance(event, Prediction):
                assert digests[event.version] == event.digest, "no number names two versions"
        await loop.close()
    finally:
        services.stop_all()
    ids = Counter(event.event_id for event in log_of() if isinstance(event, Outcome))
    assert len(ids) == len(held) + 100


def put_back_the_catalog(settings: dict[str, str], backup: Path) -> None:
    plain = settings["MARTLET_REGISTRY_CATALOG_URL"].replace("postgresql+psycopg", "postgresql")
    command = [programs() / "pg_restore", "--no-owner", "--exit-on-error", "--dbname", plain, backup / "catalog.dump"]
    subprocess.run(command, check=True, capture_output=True)


def log_of() -> list[Prediction | Outcome]:
    log = event_log(load_config(None), SystemClock())
    reader = log.reader()
    found = events_of(reader)
    reader.close()
    log.close()
    return found
