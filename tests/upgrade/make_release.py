"""`python -m tests.upgrade.make_release`: the golden artifacts of a release, from a real short run of the loop.

Run it once, when a release is made; what stands in `tests/golden/releases/<release>` is never made again. It writes

- `artifacts.tar.xz`: `backup/`, a whole data directory as `martlet backup` took it (event log, journals, checkpoints,
  catalog, artifacts), and `catalog.sql`, the same catalog as PostgreSQL dumps it;
- `expected.json`: what the services said of it;
- `formats.json`: what the stored values look like, and the numbers of all formats (see `tests.upgrade.formats`).
"""

import asyncio
import json
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import sqlalchemy as sql

import martlet as product
from examples.demo.processes import Services
from martlet.client.rollout import RolloutClient
from martlet.client.serving import ServingClient
from martlet.events import Outcome
from registry_svc.catalog_database import connect, open_database
from registry_svc.catalog_judge import SqlJudgeLog
from registry_svc.catalog_tables import METADATA
from tests.servers.postgres import PostgresServer, programs
from tests.upgrade import golden_traffic
from tests.upgrade.formats import described
from tests.upgrade.the_loop import PATIENT, Loop, accounted, martlet, until

RELEASES = Path(__file__).parents[1] / "golden" / "releases"
MODEL = golden_traffic.MODEL
BEFORE, AFTER = 120, 180
SETTINGS = {
    "MARTLET_TRAINER_MODEL": "tests.upgrade.golden_model:MODEL",
    "MARTLET_TRAINER_PUBLISH_INTERVAL_MS": "250",
    "MARTLET_TRAINER_CHECKPOINT_INTERVAL_SECONDS": "0.3",
    "MARTLET_TRAINER_INITIAL_BUCKETS": "16",
    "MARTLET_TRAINER_EVIDENCE_INTERVAL_MS": "50",
    "MARTLET_TRAINER_CHAIN_LIMIT": "4",
    "MARTLET_TRAINER_BATCH_EXAMPLES": "16",
}


async def make(folder: Path, scratch: Path) -> None:
    """Runs the loop: learns, is taken back by an operator, learns on; then backs it up."""
    services = Services(scratch, SETTINGS)
    try:
        loop = await Loop.of(services, 1, MODEL)
        await golden_traffic.announce(loop.serving)
        await golden_traffic.send(loop.serving, 0, BEFORE)
        await loop.head_above(2)
        await taken_back(services)
        await golden_traffic.send(loop.serving, BEFORE, AFTER)
        await left_over(loop.serving)
        expected = await told(loop)
        await loop.close()
        services.running["trainer"].stop()
        martlet("backup", str(scratch / "backup"), "--data-dir", str(scratch / "data"))
    finally:
        services.stop_all()
    expected["judge"] = judged(f"sqlite:///{scratch / 'data' / 'catalog.db'}")
    write(folder / "expected.json", expected)
    write(folder / "formats.json", described())
    dump(f"sqlite:///{scratch / 'data' / 'catalog.db'}", scratch / "catalog.sql", scratch / "postgres")
    with tarfile.open(folder / "artifacts.tar.xz", "w:xz") as packed:
        for name in ("backup", "catalog.sql"):
            packed.add(scratch / name, name, filter=_nobodys)


async def taken_back(services: Services) -> None:
    """An operator closes the lane; training goes back."""
    rollouts = RolloutClient(services.running["registry"].address, policy=PATIENT)
    await rollouts.abort(MODEL, "ada", "so that a rewind is in the journal")

    async def gone_back() -> bool:
        view = await rollouts.show(MODEL, 0)
        return view.epoch == 1 and not view.rewind

    await until("training has gone back", gone_back)
    await rollouts.close()


async def left_over(serving: ServingClient) -> None:
    """An outcome told twice, one without a prediction, and one that is no rating."""
    again = await serving.rank(MODEL, 1, golden_traffic.candidates(1), golden_traffic.context(1))
    strange = Outcome("golden-strange", again.prediction_id, 77, "rating", 5.0, 0)  # was not shown
    await serving.record_outcomes([strange])
    outcome = Outcome("golden-twice", again.prediction_id, golden_traffic.candidates(1)[0], "rating", 5.0, 0)
    await serving.record_outcomes([outcome])
    await serving.record_outcomes([outcome, Outcome("golden-lost", "no-such-prediction", 3, "rating", 5.0, 0)])
    await serving.record_outcomes([Outcome("golden-view", again.prediction_id, 1, "view", 1.0, 0)])


async def told(loop: Loop) -> dict[str, Any]:
    """What the services say once all is learned and published."""
    outcomes = AFTER + 3  # golden-view is no rating
    await loop.settled(outcomes)

    async def at_rest() -> bool:
        before = await loop.trainer.status()
        await asyncio.sleep(1.0)
        after = await loop.trainer.status()
        return (before.step, await loop.head()) == (after.step, after.last_published_version)

    await until("everything is published", at_rest)
    status, lineage = await loop.trainer.status(), await loop.registry.lineage(MODEL)
    records = await loop.registry.versions(MODEL)
    asked = sorted({lineage.head_version, lineage.pin_version})
    return {
        "outcomes": accounted(status),
        "status": {name: getattr(status, name) for name in ("step", "epoch", "learned", "excluded", "pending")}
        | {"dead_lettered": status.dead_lettered, "consumed": dict(status.consumed)},
        "lineage": {"epoch": lineage.epoch, "head": lineage.head_version, "pin": lineage.pin_version},
        "versions": {str(one.version): [one.digest, one.state.name] for one in records},
        "logits": {str(version): await golden_traffic.logits(loop.serving, version) for version in asked},
    }


def judged(url: str) -> dict[str, Any]:
    """Where the judge stands."""
    engine = connect(url)
    record = SqlJudgeLog(engine).load(MODEL)
    engine.dispose()
    return {"batches": record.batches, "rows": record.rows, "sequences": dict(record.sequences)}


def dump(source: str, target: Path, scratch: Path) -> None:
    """The catalog's rows on a PostgreSQL server, as that dumps them."""
    server = PostgresServer(scratch)
    server.start()
    try:
        url = server.new_database()
        copied(source, url)
        plain = url.replace("postgresql+psycopg", "postgresql")
        command = [programs() / "pg_dump", "--no-owner", "--inserts", "--dbname", plain]
        target.write_bytes(subprocess.run(command, check=True, capture_output=True).stdout)
    finally:
        server.stop()


def copied(source: str, target: str) -> None:
    """All rows from one catalog to another, which is new."""
    old, new = connect(source), open_database(target)
    with old.connect() as reading, new.begin() as writing:
        for table in METADATA.sorted_tables:
            writing.execute(sql.delete(table))
            rows = [dict(row._mapping) for row in reading.execute(sql.select(table))]
            if rows:
                writing.execute(sql.insert(table), rows)
    old.dispose()
    new.dispose()


def _nobodys(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def write(path: Path, value: Mapping[str, Any]) -> None:
    """As JSON that a person can compare."""
    path.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n")


def main() -> None:
    """Makes the golden artifacts of the present release, unless they are there."""
    folder = RELEASES / product.__version__
    if folder.exists():
        sys.exit(f"{folder} is there: what a release has written is not made again")
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as scratch:
        asyncio.run(make(folder, Path(scratch)))


if __name__ == "__main__":
    main()
