"""How a catalog's database is opened: SQLite when embedded, PostgreSQL by its URL."""

from typing import Any, Final

import sqlalchemy as sql
from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.engine.interfaces import DBAPIConnection

from martlet.errors import InvalidInput
from registry_svc.catalog_schema import upgrade

BUSY_MS: Final = 5000
CONNECT_SECONDS: Final = 5


def open_database(url: str) -> Engine:
    """Opens a catalog's database and makes what is missing (see `registry_svc.catalog_schema`).

    Raises:
        InvalidInput: no such kind of database, it cannot be opened, or its catalog has another format.
    """
    try:
        engine = connect(url)
        try:
            upgrade(engine)
        except BaseException:
            engine.dispose()
            raise
    except (sql.exc.SQLAlchemyError, ImportError) as error:
        # The URL may hold a password, so it is not told.
        cause = getattr(error, "orig", None) or error
        raise InvalidInput(f"bad setting: registry.catalog_url: {str(cause).splitlines()[0]}") from error
    return engine


def connect(url: str) -> Engine:
    """An engine for a URL; the database is not asked yet.

    Raises:
        SQLAlchemyError, ImportError: no such kind of database, or its driver is not installed.
    """
    engine = sql.create_engine(url, **_options(url))
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _sqlite_settings)
    return engine


def _options(url: str) -> dict[str, Any]:
    """A server may have been restarted since a pooled connection was used, so each is tried before use."""
    if not url.startswith("postgresql"):
        return {}
    return {"pool_pre_ping": True, "connect_args": {"connect_timeout": CONNECT_SECONDS}}


def _sqlite_settings(connection: DBAPIConnection, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")  # a decision that was told is on disk
    cursor.execute(f"PRAGMA busy_timeout={BUSY_MS}")
    cursor.close()
