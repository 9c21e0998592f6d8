"""Given the loop under load, when it is backed up, lost and restored, then everything the backup holds counts once."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from shutil import copytree, rmtree

import pytest

from examples.demo.processes import Services
from martlet.artifacts import FolderStore
from martlet.backup.record import read_record
from martlet.eventlog.file_log import FileEventReader
from martlet.events import Prediction
from martlet.manifest import decode_manifest
from martlet.replay.traffic import MODEL
from martlet.runtime.config import Config
from martlet.versions import CatalogState
from registry_svc.catalog_database import connect
from registry_svc.catalog_judge import SqlJudgeLog
from registry_svc.catalog_sql import SqlCatalog
from tests.upgrade.the_loop import SETTINGS, CommandFailed, Loop, events_of, kill_all, martlet, outcome_ids
from trainer_svc.audit_app import run_audit
from trainer_svc.checkpoints.folder import FolderCheckpoints
from trainer_svc.journal import Acknowledged, Published, Stepped, read_journal

EVENTS = 600


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    services = Services(tmp_path, SETTINGS)
    yield services
    services.stop_all()


async def test_the_rehearsal(services: Services, tmp_path: Path) -> None:
    data, backups = tmp_path / "data", [tmp_path / f"backup-{number}" for number in range(2)]
    loop = await Loop.of(services, EVENTS)
    going = asyncio.create_task(loop.send(EVENTS))
    await loop.head_above(2)
    for backup in backups:  # at two moments under load
        await asyncio.to_thread(martlet, "backup", str(backup), "--data-dir", str(data))
    await going
    await loop.send(50)  # a fast machine has sent the others before the second backup is taken
    told, newest = len(loop.traffic.answers.label), await loop.head()
    await loop.close()
    kill_all(services)
    for backup in backups:  # a copy of it, for opening a catalog changes its file
        copytree(backup, tmp_path / f"{backup.name}-opened")
        check_cut(tmp_path / f"{backup.name}-opened")
    rmtree(data)

    with pytest.raises(CommandFailed, match="is no backup"):
        martlet("restore", str(tmp_path), "--data-dir", str(data))
    martlet("restore", str(backups[1]), "--data-dir", str(data))
    with pytest.raises(CommandFailed, match="nothing is overwritten"):
        martlet("restore", str(backups[0]), "--data-dir", str(data))
    check_cut(data)
    held = outcome_ids(FileEventReader(data / "events"))
    assert 0 < len(held) < told, "what was told after the backup is lost, and nothing else"
    version = read_record(backups[1]).versions[MODEL]
    assert version <= newest

    loop = await Loop.of(services, EVENTS)
    assert (await loop.registry.lineage(MODEL)).pin_version > 0
    status = await loop.settled(len(held))
    await loop.send(100)
    status = await loop.settled(len(held) + 100)
    assert status.learned + status.excluded + status.dead_lettered + status.pending == len(held) + 100
    assert status.learned >= len(held), "an answer of the backup has its prediction in the backup"
    assert status.duplicates == 0
    await loop.head_above(version)
    await loop.close()
    services.stop_all()
    check_cut(data)
    config = Config(data_dir=data)
    report = run_audit(replace(config, trainer=replace(config.trainer, model=SETTINGS["MARTLET_TRAINER_MODEL"])), 300)
    assert (report.digests_equal, report.events.learned) == (True, status.learned)
    assert report.parity_max_abs_diff <= 1e-6


def check_cut(root: Path) -> None:
    """What has to be true of a cut so that the loop can go on from it (see `martlet.backup`)."""
    config = Config(data_dir=root)
    events, trainer = FileEventReader(config.event_log_dir), FileEventReader(config.checkpoint_dir)
    engine = connect(config.catalog_url)
    records = SqlCatalog(engine).versions(MODEL, 0, 10_000, with_manifests=True)
    judged, journalled = SqlJudgeLog(engine), [entry for entry, _ in read_journal(trainer, 0)]
    versions = {record.version: record.digest for record in records}
    ends = {name: events.end(name) for name in events.partitions()}
    for partition in ("journal", "judge"):
        for entry, _ in read_journal(trainer, 0, partition):
            for wanted in entry.cut.ranges if isinstance(entry, Stepped) else ():
                assert wanted.end <= ends[wanted.partition], "the log reaches as far as the journals"
    for event in events_of(events):
        if isinstance(event, Prediction):
            assert versions[event.version] == event.digest, "the catalog knows each version that the log names"
            assert set(event.scores) <= versions.keys()
    acknowledged = {entry.version: entry.digest for entry in journalled if isinstance(entry, Acknowledged)}
    assert acknowledged.items() <= versions.items(), "what is acknowledged is in the catalog"
    in_flight = (
        1 if isinstance(next((e for e in reversed(journalled) if not isinstance(e, Stepped)), None), Published) else 0
    )
    assert len(versions) - len(acknowledged) <= in_flight, "the journal knows each version of the catalog"
    for folder, partition in (("checkpoints", "journal"), ("judge-checkpoints", "judge")):
        newest = FolderCheckpoints(config.checkpoint_dir / folder, 3).newest()
        assert newest is None or newest.journal_position <= trainer.end(partition)
    store = FolderStore(config.artifact_dir)
    for record in records:
        if record.state is not CatalogState.EXPIRED:
            for blob in decode_manifest(record.manifest).blobs():
                store.get(blob)
    rows = Counter((row.user, row.time_us) for one in judged.read(MODEL, 0, 10_000) for row in one.batch.rows)
    assert max(rows.values(), default=1) == 1, "each answer is judged once"
    engine.dispose()
