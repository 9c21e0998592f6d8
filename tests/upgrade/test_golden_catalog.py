"""A release's catalog, dumped by PostgreSQL: restored, migrated to today's schema and back, it holds the same."""

import json
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sql
from sqlalchemy.engine import Engine

from registry_svc.catalog_database import connect, migrate_database, open_database
from registry_svc.catalog_judge import SqlJudgeLog
from registry_svc.catalog_schema import FIRST, NOTHING
from registry_svc.catalog_sql import SqlCatalog
from registry_svc.catalog_tables import METADATA
from registry_svc.journal import replay
from tests.servers.postgres import programs
from tests.upgrade.golden_traffic import MODEL
from tests.upgrade.make_release import RELEASES


@pytest.fixture(params=sorted(path.name for path in RELEASES.iterdir()))
def release(request: pytest.FixtureRequest) -> Path:
    return RELEASES / str(request.param)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, release: Path, tmp_path: Path) -> Iterator[str]:
    with tarfile.open(release / "artifacts.tar.xz") as packed:
        packed.extractall(tmp_path, filter="data")
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'backup' / 'catalog.db'}"
        return
    found = str(request.getfixturevalue("postgres_url"))
    plain = found.replace("postgresql+psycopg", "postgresql")
    command = [programs() / "psql", "--quiet", "--no-psqlrc", "-v", "ON_ERROR_STOP=1", "--dbname", plain]
    subprocess.run([*command, "--file", tmp_path / "catalog.sql"], check=True, capture_output=True)
    yield found


def contents(engine: Engine) -> dict[str, list[tuple[object, ...]]]:
    """All rows that count; who led lately does not."""
    with engine.connect() as connection:
        tables = [table for table in METADATA.sorted_tables if table.name != "leases"]
        return {table.name: sorted(tuple(row) for row in connection.execute(sql.select(table))) for table in tables}


def test_it_holds_what_it_held(url: str, release: Path) -> None:
    expected = json.loads((release / "expected.json").read_text())
    engine = open_database(url)  # brings it to today's schema
    catalog = SqlCatalog(engine)
    records = catalog.versions(MODEL, 0, 1000, with_manifests=False)
    assert {str(one.version): [one.digest, one.state.name] for one in records} == expected["versions"]
    again = replay(MODEL, catalog.journal(MODEL))
    assert again.lane == catalog.standing(MODEL).lane
    assert {number: one.state for number, one in again.versions.items()} == {one.version: one.state for one in records}
    judge = SqlJudgeLog(engine).load(MODEL)
    assert (judge.batches, judge.rows) == (expected["judge"]["batches"], expected["judge"]["rows"])
    engine.dispose()


def test_it_goes_to_the_newest_schema_and_back(url: str) -> None:
    """To the first revision and on again nothing of the first one's tables is lost; to nothing, everything is."""
    engine = open_database(url)
    before = contents(engine)
    engine.dispose()
    migrate_database(url, FIRST)
    engine = open_database(url)
    assert contents(engine) == before
    engine.dispose()
    assert migrate_database(url, NOTHING) == NOTHING
    engine = connect(url)
    assert set(sql.inspect(engine).get_table_names()) <= {"alembic_version"}
    engine.dispose()
