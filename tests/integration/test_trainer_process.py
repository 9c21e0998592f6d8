"""The real trainer, as a process, between a real log and a real registry: killed without warning, it loses nothing."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from martlet.artifacts import FolderStore
from martlet.client.registry import RegistryClient
from martlet.client.trainer import TrainerClient
from martlet.eventlog.file_log import FileEventReader, FileEventWriter
from martlet.manifest import VersionKind, decode_manifest, spec_digest
from martlet.versions import CatalogState, VersionRecord
from martlet.wire.events import encode_event
from martlet.wire.trainer import TrainerStatus
from tests.integration.rating_model import MODEL
from tests.unit.trainer.streams import outcome, prediction
from trainer_svc.checkpoints.folder import FolderCheckpoints
from trainer_svc.checkpoints.state import state_digest

REFERENCE = "tests.integration.rating_model:MODEL"
ROOT = Path(__file__).parents[2]


def environment(**settings: object) -> dict[str, str]:
    own = {f"MARTLET_{name.upper()}": str(value) for name, value in settings.items()}
    return os.environ | {"MARTLET_LOG_LEVEL": "warning", "PYTHONPATH": str(ROOT)} | own


@contextmanager
def service(name: str, data: Path, **settings: object) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A service process on free ports; ended in order unless it is gone already."""
    ports = data / f"{name}.ports"
    ports.unlink(missing_ok=True)
    ports.parent.mkdir(parents=True, exist_ok=True)
    free = {f"{name}_grpc_port": 0, f"{name}_metrics_port": 0}
    command = [sys.executable, "-m", f"{name}_svc", "--data-dir", str(data), "--ports-file", str(ports)]
    with subprocess.Popen(command, env=environment(**free, **settings), stdout=subprocess.DEVNULL, cwd=ROOT) as process:
        try:
            yield process, f"127.0.0.1:{_port(ports, process)}"
        finally:
            process.terminate()
            process.wait(20)


def _port(ports: Path, process: subprocess.Popen[bytes]) -> int:
    end = time.monotonic() + 60
    while not ports.exists():
        assert process.poll() is None, "it ended before it had bound its ports"
        assert time.monotonic() < end, "it did not bind its ports"
        time.sleep(0.02)
    return int(json.loads(ports.read_text())["grpc_port"])


def status_of(address: str) -> TrainerStatus:
    async def ask() -> TrainerStatus:
        client = TrainerClient(address)
        try:
            return await client.status()
        finally:
            await client.close()

    return asyncio.run(ask())


def versions_of(address: str) -> list[VersionRecord]:
    async def ask() -> list[VersionRecord]:
        client = RegistryClient(address)
        try:
            return await client.versions("shop", with_manifests=True)
        finally:
            await client.close()

    return asyncio.run(ask())


def wait_for(what: str, met: Any, seconds: float = 40.0) -> None:
    end = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < end, f"never came: {what}"
        time.sleep(0.05)


class Shop:
    """Writes what serving would write."""

    def __init__(self, data: Path) -> None:
        self._writer = FileEventWriter(data / "events", "serving-0")
        self._number = 0
        self.told = 0

    def visit(self, count: int) -> int:
        """So many answers with an outcome each, some of them twice; gives the position behind them."""
        position = 0
        for _ in range(count):
            self._number = number = self._number + 1
            now = time.time_ns() // 1000
            made = prediction(
                number, now, items=[number % 30, 100 + number % 7], user=number % 20, spec=spec_digest(MODEL.spec)
            )
            self._writer.offer(encode_event(made))
            told = encode_event(outcome(f"e-{number}", number, number % 30, float(1 + number % 5), now + 1000))
            for _ in range(1 + (number % 10 == 0)):
                position = self._writer.append(told).result(5).offset
            self.told += 1
        return position

    def close(self) -> None:
        self._writer.close()


FAST = {
    "trainer_model": REFERENCE,
    "trainer_publish_interval_ms": 100,
    "trainer_poll_ms": 5,
    "trainer_checkpoint_interval_seconds": 0.3,
    "trainer_initial_buckets": 8,
    "trainer_chain_limit": 6,
    "trainer_batch_examples": 32,
}


def audit(data: Path) -> dict[str, Any]:
    out = data / "audit.json"
    command = [sys.executable, "-m", "trainer_svc", "audit", "--data-dir", str(data), "--out", str(out)]
    subprocess.run(command, env=environment(**FAST), check=True, timeout=100, stdout=subprocess.DEVNULL, cwd=ROOT)
    report: dict[str, Any] = json.loads(out.read_text())
    return report


ROUNDED = {"trainer_table_dtype": "float16", "trainer_delta_encoding": "int8", "trainer_exact_repair_every": 3}


@pytest.mark.parametrize("rows", [{}, ROUNDED], ids=["exact", "rounded"])
def test_a_trainer_that_is_killed_learns_and_publishes_as_if_it_had_not_been(
    tmp_path: Path, rows: dict[str, object]
) -> None:
    shop = Shop(tmp_path)
    with service("registry", tmp_path) as (_, registry):
        for life in range(4):
            with service("trainer", tmp_path, trainer_registry=registry, **FAST, **rows) as (process, trainer):
                for _ in range(6):
                    position = shop.visit(40)
                    time.sleep(0.03)
                if life == 3:
                    wait_until_published(trainer, registry, position)
                    status = status_of(trainer)
                else:
                    wait_for("something is learned", lambda: status_of(trainer).learned > 0)
                    process.send_signal(signal.SIGKILL)
                    process.wait(10)
        records = versions_of(registry)
    shop.close()
    assert {record.state for record in records} <= {CatalogState.ADMITTED, CatalogState.PINNED, CatalogState.RETIRED}
    manifests = [decode_manifest(record.manifest) for record in records]
    assert [manifest.lineage.sequence for manifest in manifests] == list(range(1, len(records) + 1))
    assert {manifest.kind for manifest in manifests} == set(VersionKind)
    assert len({manifest.lineage.lineage for manifest in manifests}) == 1
    assert (status.learned, status.duplicates) == (shop.told, shop.told // 10)
    assert status.pending == status.excluded == status.dead_lettered == 0
    report = audit(tmp_path)
    assert report["digests_equal"]
    assert report["versions_checked"] == len(records)
    assert report["events"]["learned"] == shop.told
    checkpoint = FolderCheckpoints(tmp_path / "trainer" / "checkpoints", 3).newest()
    assert checkpoint is not None
    assert state_digest(checkpoint.state) == report["state_digest"]


def wait_until_published(trainer: str, registry: str, position: int) -> None:
    wait_for("all is learned", lambda: status_of(trainer).consumed.get("serving-0") == position)
    wait_for("all is published", lambda: _learned(versions_of(registry)) == position)


def _learned(records: list[VersionRecord]) -> int:
    return decode_manifest(records[-1].manifest).learned.positions.get("serving-0", 0) if records else 0


def test_a_trainer_learns_while_the_registry_is_away(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    nobody = "127.0.0.1:1"
    with service("trainer", tmp_path, trainer_registry=nobody, **FAST) as (process, trainer):
        position = shop.visit(100)
        wait_for("all is learned", lambda: status_of(trainer).consumed.get("serving-0") == position)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    with (
        service("registry", tmp_path) as (_, registry),
        service("trainer", tmp_path, trainer_registry=registry, **FAST),
    ):
        wait_for("all is published", lambda: _learned(versions_of(registry)) == position)
        first = decode_manifest(versions_of(registry)[0].manifest)
    shop.close()
    assert first.learned.step == 0
    assert FolderStore(tmp_path / "artifacts").get(first.graph)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [({}, "trainer.model"), ({"trainer_model": "no_such_module:MODEL"}, "no_such_module")],
)
def test_a_bad_model_is_one_line(tmp_path: Path, settings: dict[str, str], complaint: str) -> None:
    command = [sys.executable, "-m", "trainer_svc", "--data-dir", str(tmp_path)]
    done = subprocess.run(command, env=environment(**settings), capture_output=True, timeout=60, cwd=ROOT, check=False)
    assert done.returncode == 2
    assert complaint in done.stderr.decode()
    assert len(done.stderr.decode().splitlines()) == 1


def test_a_second_trainer_is_kept_out(tmp_path: Path) -> None:
    with service("trainer", tmp_path, trainer_registry="127.0.0.1:1", **FAST):
        command = [sys.executable, "-m", "trainer_svc", "--data-dir", str(tmp_path)]
        done = subprocess.run(command, env=environment(**FAST), capture_output=True, timeout=60, cwd=ROOT, check=False)
    assert done.returncode == 2
    assert b"writer" in done.stderr


def test_letters_and_journal_are_partitions_of_their_own(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    with service("trainer", tmp_path, trainer_registry="127.0.0.1:1", **FAST) as (_, trainer):
        position = shop.visit(10)
        wait_for("all is learned", lambda: status_of(trainer).consumed.get("serving-0") == position)
    shop.close()
    assert FileEventReader(tmp_path / "trainer").partitions() == ("journal", "judge")
    assert FileEventReader(tmp_path / "dead-letters").partitions() == ("trainer",)
