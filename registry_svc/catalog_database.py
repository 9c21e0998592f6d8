"""How a catalog's database is opened: SQLite when embedded, PostgreSQL by its URL."""

import sqlite3
import time
from collections.abc import Callable
from typing import Any, Final

import sqlalchemy as sql
from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.engine.interfaces import DBAPIConnection, DBAPICursor

from martlet.errors import InvalidInput
from registry_svc.catalog_schema import NOTHING, current, move, upgrade

BUSY_MS: Final = 5000
CONNECT_SECONDS: Final = 5
SWITCH_PAUSE: Final = 0.02  # seconds


def open_database(url: str) -> Engine:
    """Opens a catalog's database and makes what is missing (see `registry_svc.catalog_schema`).

    Raises:
        InvalidInput: no such kind of database, it cannot be opened, or its catalog has another format.
    """
    return _opened(url, upgrade)


def migrate_database(url: str, revision: str) -> str:
    """Brings a catalog to a revision, forward or back, and tells where it is now. Stop all registries before.

    Raises:
        InvalidInput: as `open_database`; or there is no such revision.
    """
    engine = _opened(url, lambda engine: move(engine, revision))
    with engine.connect() as connection:
        found = current(connection)
    engine.dispose()
    return found or NOTHING


def _opened(url: str, prepare: Callable[[Engine], None]) -> Engine:
    try:
        engine = connect(url)
        try:
            prepare(engine)
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
    cursor.execute(f"PRAGMA busy_timeout={BUSY_MS}")
    _write_ahead(cursor)
    cursor.execute("PRAGMA synchronous=FULL")  # a decision that was told is on disk
    cursor.close()


def _write_ahead(cursor: DBAPICursor) -> None:
    """A new file is switched once; while another process does it, SQLite refuses at once and does not wait."""
    until = time.monotonic() + BUSY_MS / 1000
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > until:
                raise
            time.sleep(SWITCH_PAUSE)
        else:
            return
