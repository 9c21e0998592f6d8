"""Brings a catalog's database to the schema of this release, and back. All in one transaction, by one at a time.

Several registries may start at once: the first takes a lock (on PostgreSQL an advisory one, on SQLite the database's),
the others find the work done. What an older release has made without noting its revision is taken for the first one.
"""

from typing import Final

import sqlalchemy as sql
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Connection, Engine

from martlet.errors import InvalidInput
from registry_svc.catalog_tables import CATALOG_FORMAT, FORMAT, METADATA

FIRST: Final = "0001"
NEWEST: Final = "head"
NOTHING: Final = "base"
_LOCK: Final = 0x6D6172746C6574  # any number that nobody else uses: "martlet"


def upgrade(engine: Engine, revision: str = NEWEST) -> None:
    """Makes what is missing.

    Raises:
        InvalidInput: there is a catalog of another format, or of a newer release.
    """
    with engine.begin() as connection:
        _lock(connection)
        settings = _settings(connection)
        _check_format(connection)
        if _is_unnoted(connection):
            command.stamp(settings, FIRST)
        _check_revision(connection, settings)
        command.upgrade(settings, revision)


def downgrade(engine: Engine, revision: str) -> None:
    """Takes steps back. What only the later steps' tables hold is lost.

    Raises:
        InvalidInput: there is no such step.
    """
    with engine.begin() as connection:
        _lock(connection)
        settings = _settings(connection)
        _check_revision(connection, settings)
        command.downgrade(settings, revision)


def current(connection: Connection) -> str | None:
    """The revision that a database notes; None: none."""
    return MigrationContext.configure(connection).get_current_revision()


def _lock(connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # its driver begins no transaction for what makes tables
    elif connection.dialect.name == "postgresql":
        connection.execute(sql.select(sql.func.pg_advisory_xact_lock(_LOCK)))


def _settings(connection: Connection) -> Config:
    settings = Config()
    settings.set_main_option("script_location", "registry_svc:migrations")
    settings.attributes["connection"] = connection
    return settings


def _is_unnoted(connection: Connection) -> bool:
    return current(connection) is None and FORMAT.name in _tables(connection)


def _check_format(connection: Connection) -> None:
    known = _tables(connection)
    if FORMAT.name not in known:
        if known & set(METADATA.tables):
            raise InvalidInput("bad setting: registry.catalog_url: the catalog there has another format")
        return
    found = connection.execute(sql.select(FORMAT.c.format)).scalars().all()
    if list(found) != [CATALOG_FORMAT]:
        raise InvalidInput(f"bad setting: registry.catalog_url: catalog format {found} is not known here")


def _check_revision(connection: Connection, settings: Config) -> None:
    known = {script.revision for script in ScriptDirectory.from_config(settings).walk_revisions()}
    found = current(connection)
    if found is not None and found not in known:
        raise InvalidInput(f"bad setting: registry.catalog_url: the catalog is of a newer release (revision {found})")


def _tables(connection: Connection) -> set[str]:
    return set(sql.inspect(connection).get_table_names())
