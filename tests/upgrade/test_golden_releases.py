"""What a release has left behind, today's services go on with: same versions, same answers, each event once."""

import asyncio
import json
import tarfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from examples.demo.processes import Services
from martlet.backup.restoring import restore
from martlet.eventlog.file_log import FileEventReader
from martlet.runtime.config import Config
from tests.upgrade import golden_traffic
from tests.upgrade.asking import ask_everything
from tests.upgrade.formats import broken, described
from tests.upgrade.golden_traffic import MODEL
from tests.upgrade.make_release import AFTER, RELEASES, SETTINGS, judged
from tests.upgrade.the_loop import Loop, accounted
from tests.upgrade.wire_release import Release
from trainer_svc.audit import NoLetters
from trainer_svc.checkpoints.folder import FolderCheckpoints
from trainer_svc.checkpoints.state import state_digest
from trainer_svc.event_source import EventSource
from trainer_svc.journal import Began, read_journal
from trainer_svc.lineages.model import load_model
from trainer_svc.lineages.state import make_state

MORE = 60


@dataclass
class Golden:
    """One release's artifacts, restored to a data directory of the test's own."""

    release: str
    folder: Path
    expected: dict[str, Any]

    @property
    def data(self) -> Path:
        return self.folder / "data"


@pytest.fixture(params=sorted(path.name for path in RELEASES.iterdir()))
def golden(request: pytest.FixtureRequest, tmp_path: Path) -> Golden:
    release = str(request.param)
    with tarfile.open(RELEASES / release / "artifacts.tar.xz") as packed:
        packed.extractall(tmp_path, filter="data")
    restore(tmp_path / "backup", tmp_path / "data", lambda _path, _size: None)
    return Golden(release, tmp_path, json.loads((RELEASES / release / "expected.json").read_text()))


@pytest_asyncio.fixture
async def loop(golden: Golden) -> AsyncIterator[Loop]:
    services = Services(golden.folder, SETTINGS)
    try:
        loop = await Loop.of(services, 1, MODEL)
        yield loop
        await loop.close()
    finally:
        services.stop_all()


@pytest.mark.timeout(180)
async def test_the_loop_goes_on(golden: Golden, loop: Loop) -> None:
    expected, outcomes = golden.expected, golden.expected["outcomes"]
    await check_versions(loop, expected)
    await check_answers(loop, expected)
    status = await loop.settled(outcomes)
    same = {name: getattr(status, name) for name in ("learned", "excluded", "pending", "dead_lettered")}
    assert same.items() <= expected["status"].items(), "nothing is lost and nothing is learned again"

    await golden_traffic.send(loop.serving, AFTER, AFTER + MORE)
    status = await loop.settled(outcomes + MORE)
    assert accounted(status) == outcomes + MORE
    assert status.learned == expected["status"]["learned"] + MORE
    await golden_traffic.send(loop.serving, AFTER, AFTER + 5)  # told before under the same ids
    await loop.head_above(expected["lineage"]["head"])
    assert accounted(await loop.trainer.status()) == outcomes + MORE

    before, url = expected["judge"], f"sqlite:///{golden.data / 'catalog.db'}"
    for _ in range(200):
        after = judged(url)
        if after["rows"] >= before["rows"] + MORE:
            break
        await asyncio.sleep(0.1)
    assert after["rows"] >= before["rows"] + MORE, "the judge goes on"
    assert after["sequences"].keys() == before["sequences"].keys(), "as the same producer"
    await ask_everything(Release.last(), loop)
    await ask_everything(Release.today().newer(), loop)


async def check_versions(loop: Loop, expected: dict[str, Any]) -> None:
    records = {str(one.version): [one.digest, one.state.name] for one in await loop.registry.versions(MODEL)}
    for version, (digest, _) in expected["versions"].items():
        assert records[version][0] == digest
    lineage = await loop.registry.lineage(MODEL)
    assert (lineage.epoch, lineage.pin_version) == (expected["lineage"]["epoch"], expected["lineage"]["pin"])
    assert lineage.head_version == expected["lineage"]["head"]


async def check_answers(loop: Loop, expected: dict[str, Any]) -> None:
    for version, logits in expected["logits"].items():
        for _ in range(100):  # the head may still be loading
            if int(version) in {one.version for one in await loop.serving.status() if one.state.name == "READY"}:
                break
            await asyncio.sleep(0.1)
        found = await golden_traffic.logits(loop.serving, int(version))
        assert found == [pytest.approx(row, abs=1e-6) for row in logits]


def test_a_state_comes_back_bit_for_bit(golden: Golden) -> None:
    """What the newest checkpoint holds is what today's state gives back once it has taken it over."""
    config = Config(data_dir=golden.data)
    config = replace(config, trainer=replace(config.trainer, model=SETTINGS["MARTLET_TRAINER_MODEL"]))
    events, journal = FileEventReader(config.event_log_dir), FileEventReader(config.checkpoint_dir)
    began = next(entry for entry, _ in read_journal(journal, 0))
    assert isinstance(began, Began)
    checkpoint = FolderCheckpoints(config.checkpoint_dir / "checkpoints", 3).newest()
    assert checkpoint is not None
    before = {name: array.copy() for name, array in checkpoint.state.items()}
    source = EventSource(events, events, 1 << 20, 1 << 20)
    state = make_state(began, load_model(config), config, source, NoLetters())
    state.restore(checkpoint.state)
    after = state.state()
    assert state_digest({name: after[name] for name in before}) == state_digest(before)


@pytest.mark.parametrize("release", sorted(path.name for path in RELEASES.iterdir()))
def test_a_format_that_changes_gets_a_new_number(release: str) -> None:
    """If not: a new number, both are read, and golden artifacts of the next release (docs/upgrades.md)."""
    before = json.loads((RELEASES / release / "formats.json").read_text())
    after = json.loads(json.dumps(described()))
    assert broken(before, after) == []
