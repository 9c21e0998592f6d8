"""Laws of the catalog's schema: how a database becomes what a release needs, on every kind of database."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sql
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from martlet.errors import InvalidInput
from registry_svc.catalog_database import connect, open_database
from registry_svc.catalog_schema import FIRST, NOTHING, current, downgrade, upgrade
from registry_svc.catalog_sql import SqlCatalog
from registry_svc.catalog_tables import FORMAT, METADATA
from tests.checks.test_catalog import publish
from tests.servers.databases import DATABASES, url_of


@pytest.fixture(params=DATABASES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return url_of(request, tmp_path)


def tables(engine: sql.Engine) -> set[str]:
    return set(sql.inspect(engine).get_table_names()) - {"alembic_version"}


def revision(engine: sql.Engine) -> str | None:
    with engine.connect() as connection:
        return current(connection)


def test_the_steps_lead_to_the_tables_that_the_code_knows(url: str) -> None:
    engine = open_database(url)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
    assert tables(engine) == set(METADATA.tables)
    engine.dispose()


def test_what_is_made_can_be_taken_back_and_made_again(url: str) -> None:
    engine = open_database(url)
    downgrade(engine, NOTHING)
    assert (tables(engine), revision(engine)) == (set(), None)
    upgrade(engine)
    publish(SqlCatalog(engine), 1)
    assert SqlCatalog(engine).standing("shop").newest == 1
    engine.dispose()


def test_a_catalog_of_before_the_steps_is_taken_over_with_all_that_it_holds(url: str) -> None:
    """Releases without steps made all tables at once, and noted the format alone."""
    old = connect(url)
    METADATA.create_all(old)
    with old.begin() as connection:
        connection.execute(sql.insert(FORMAT).values(format=1))
    publish(SqlCatalog(old), 1)
    standing = SqlCatalog(old).standing("shop")
    old.dispose()
    engine = open_database(url)
    assert revision(engine) == FIRST
    assert SqlCatalog(engine).standing("shop") == standing
    engine.dispose()


def test_a_catalog_of_a_newer_release_is_refused_and_left_alone(url: str) -> None:
    engine = open_database(url)
    with engine.begin() as connection:
        connection.execute(sql.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(InvalidInput, match=r"registry\.catalog_url.*newer release"):
        open_database(url)
    assert revision(engine) == "9999"
    engine.dispose()


def test_a_step_that_fails_leaves_nothing(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All steps are one transaction, also where tables are made in it."""
    engine = connect(url)
    with monkeypatch.context() as patch:
        patch.setattr("alembic.op.bulk_insert", _fail)
        with pytest.raises(RuntimeError):
            upgrade(engine)
    assert sql.inspect(engine).get_table_names() == []
    upgrade(engine)
    assert tables(engine) == set(METADATA.tables)
    engine.dispose()


def _fail(*_arguments: object) -> None:
    raise RuntimeError("no more")


def test_several_that_start_at_once_make_it_once(url: str) -> None:
    with ThreadPoolExecutor(4) as threads:
        engines = list(threads.map(open_database, [url] * 4))
    with engines[0].connect() as connection:
        assert list(connection.execute(sql.select(FORMAT.c.format)).scalars()) == [1]
    for engine in engines:
        engine.dispose()
