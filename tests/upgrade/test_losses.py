"""Given that one part is lost, when the others go on, then nothing is counted twice and the log says what to do."""

import asyncio
import json
import tarfile
from pathlib import Path
from shutil import rmtree

import pytest

from examples.demo.processes import Services
from martlet.artifacts import FolderStore
from martlet.backup.restoring import restore, restore_artifacts
from martlet.client.rollout import RolloutClient
from martlet.manifest import BlobRef, decode_manifest
from tests.upgrade import golden_traffic
from tests.upgrade.golden_traffic import MODEL
from tests.upgrade.make_release import AFTER, RELEASES, SETTINGS, judged
from tests.upgrade.the_loop import PATIENT, Loop, accounted, until

NEWEST = max(RELEASES.iterdir(), key=lambda path: tuple(map(int, path.name.split("."))))
EXPECTED = json.loads((NEWEST / "expected.json").read_text())
MORE = 40


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory that has seen some life."""
    with tarfile.open(NEWEST / "artifacts.tar.xz") as packed:
        packed.extractall(tmp_path, filter="data")
    restore(tmp_path / "backup", tmp_path / "data", lambda _path, _size: None)
    return tmp_path / "data"


async def test_the_trainers_volume_is_lost(data: Path, tmp_path: Path) -> None:
    """It learns the log again from its beginning, as a lineage of its own, which has to prove itself like any other."""
    rmtree(data / "trainer")
    rmtree(data / "dead-letters")
    services = Services(tmp_path, SETTINGS)
    try:
        loop = await Loop.of(services, 1, MODEL)
        await golden_traffic.send(loop.serving, AFTER, AFTER + MORE)
        status = await loop.settled(EXPECTED["outcomes"] + MORE)
        assert accounted(status) == EXPECTED["outcomes"] + MORE
        rollouts = RolloutClient(services.running["registry"].address, policy=PATIENT)

        async def on_its_road() -> bool:
            return bool((await rollouts.show(MODEL, 0)).structural_version)

        await until("a version of the new lineage on the structural road", on_its_road)
        view = await rollouts.show(MODEL, 0)
        assert view.pin_version == EXPECTED["lineage"]["pin"], "what was good answers on"
        found, before = judged(f"sqlite:///{data / 'catalog.db'}"), EXPECTED["judge"]
        assert len(found["sequences"]) == 2, "a judge's reader of its own"
        assert before["rows"] <= found["rows"] <= before["rows"] + MORE, "no answer is judged twice"
        await asyncio.gather(rollouts.close(), loop.close())
    finally:
        services.stop_all()


async def test_the_catalog_is_lost(data: Path, tmp_path: Path) -> None:
    """Nothing begins anew on top of it: the trainer's log says what is to be done."""
    (data / "catalog.db").unlink()
    services = Services(tmp_path, SETTINGS)
    try:
        for name in ("registry", "trainer"):
            await asyncio.to_thread(services.start, name)

        async def told() -> bool:
            return "its catalog is lost; stop all services and make a data directory of a backup" in log_of(tmp_path)

        await until("the word of it", told)
    finally:
        services.stop_all()


async def test_a_blob_is_lost(data: Path, tmp_path: Path) -> None:
    """Who serves serves on; the registry takes nothing until it is back, and nothing of what is learned goes."""
    services = Services(tmp_path, SETTINGS)
    try:
        loop = await Loop.of(services, 1, MODEL)
        await loop.settled(EXPECTED["outcomes"])
        before, head = await loop.trainer.status(), await loop.head()
        lost = await base_of(loop, head)
        FolderStore(data / "artifacts").delete(lost)
        services.running["registry"].kill()
        await asyncio.to_thread(services.start, "registry")  # which has forgotten that it had read the blob
        await golden_traffic.send(loop.serving, AFTER, AFTER + MORE)
        status = await loop.settled(EXPECTED["outcomes"] + MORE)

        async def named() -> bool:
            return f"lost blob {lost.digest}" in log_of(tmp_path)

        await until("the blob's name in the trainer's log", named)
        assert await loop.head() == head
        assert status.excluded == before.excluded, "a fault of the store is no fault of what was learned"
        (back,) = restore_artifacts(tmp_path / "backup", data, data / "artifacts", lambda _path, _size: None)
        assert back.path.endswith(lost.digest)
        await loop.head_above(head)
        assert (await loop.trainer.status()).excluded == before.excluded
        await loop.close()
    finally:
        services.stop_all()


async def base_of(loop: Loop, version: int) -> BlobRef:
    return decode_manifest((await loop.registry.version(MODEL, version)).manifest).tables[0].base


def log_of(folder: Path) -> str:
    return (folder / "trainer.log").read_text()
