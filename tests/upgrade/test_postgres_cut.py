"""The moment of a catalog on PostgreSQL: nobody writes while it lasts, and the dump is of that moment."""

import subprocess
import threading
from pathlib import Path

import pytest
import sqlalchemy as sql

from martlet.backup.postgres_cut import DUMP, PostgresCut
from martlet.errors import InvalidInput, Unavailable
from registry_svc.catalog_database import connect, open_database
from registry_svc.catalog_sql import SqlCatalog
from tests.checks.test_catalog import publish
from tests.servers.postgres import PostgresServer, programs


@pytest.fixture(autouse=True)
def _path(monkeypatch: pytest.MonkeyPatch) -> None:
    """pg_dump of the server's own release."""
    monkeypatch.setenv("PATH", str(programs()), prepend=":")


def test_the_dump_is_of_the_moment(postgres_url: str, postgres_server: PostgresServer, tmp_path: Path) -> None:
    engine = open_database(postgres_url)
    catalog = SqlCatalog(engine)
    publish(catalog, 1)
    seen: list[str] = []

    def write() -> None:
        publish(catalog, 2)
        seen.append("written")

    def work() -> None:
        thread.start()
        thread.join(0.5)
        seen.append("noted")

    thread = threading.Thread(target=write)
    with PostgresCut(postgres_url) as cut:
        cut.freeze(work)
        thread.join()
        cut.store(tmp_path)
    assert seen == ["noted", "written"]
    assert catalog.standing("shop").newest == 2
    engine.dispose()

    again = postgres_server.new_database()
    plain = again.replace("postgresql+psycopg", "postgresql")
    restored = ["pg_restore", "--no-owner", "--exit-on-error", "--dbname", plain, tmp_path / DUMP]
    subprocess.run(restored, check=True, capture_output=True)
    engine = open_database(again)
    assert SqlCatalog(engine).standing("shop").newest == 1
    engine.dispose()


def test_a_database_that_cannot_be_held_is_told(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("martlet.backup.postgres_cut.WAIT_SECONDS", 1.0)
    open_database(postgres_url).dispose()
    other = connect(postgres_url)
    with other.connect() as holder:
        holder.execute(sql.text("LOCK TABLE lanes IN ACCESS EXCLUSIVE MODE"))
        with PostgresCut(postgres_url) as cut, pytest.raises(Unavailable, match="cannot be held still"):
            cut.freeze(lambda: None)
    other.dispose()


def test_other_databases_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidInput, match="no backup of mysql"):
        PostgresCut("mysql://db/martlet")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(InvalidInput, match="no pg_dump"):
        PostgresCut("postgresql+psycopg://db/martlet")
