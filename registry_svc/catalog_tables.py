"""The catalog's tables, format 1, and how a database is opened: SQLite when embedded, PostgreSQL by its URL."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import sqlalchemy as sql
from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.engine.interfaces import DBAPIConnection

from martlet.errors import InvalidInput, Unavailable

CATALOG_FORMAT: Final = 1
BUSY_MS: Final = 5000

METADATA = sql.MetaData()

# A number beside autoincrement must say that it is none.
FORMAT = sql.Table(
    "catalog_format",
    METADATA,
    sql.Column("format", sql.Integer, primary_key=True, autoincrement=False),
)
LANES = sql.Table(
    "lanes",
    METADATA,
    sql.Column("model", sql.String(200), primary_key=True),
    sql.Column("lane", sql.LargeBinary, nullable=False),
    sql.Column("decisions", sql.BigInteger, nullable=False),
)
VERSIONS = sql.Table(
    "versions",
    METADATA,
    sql.Column("model", sql.String(200), primary_key=True),
    sql.Column("version", sql.BigInteger, primary_key=True, autoincrement=False),
    sql.Column("digest", sql.String(80), nullable=False),
    sql.Column("parent_digest", sql.String(80), nullable=False),
    sql.Column("epoch", sql.BigInteger, nullable=False),
    sql.Column("state", sql.Integer, nullable=False),
    sql.Column("reason", sql.Text, nullable=False),
    sql.Column("kind", sql.String(20), nullable=False),
    sql.Column("published_time_us", sql.BigInteger, nullable=False),
    sql.Column("manifest", sql.LargeBinary, nullable=False),
    sql.UniqueConstraint("model", "digest"),
)
DECISIONS = sql.Table(
    "decisions",
    METADATA,
    sql.Column("model", sql.String(200), primary_key=True),
    sql.Column("number", sql.BigInteger, primary_key=True, autoincrement=False),
    sql.Column("kind", sql.String(20), nullable=False),
    sql.Column("time_us", sql.BigInteger, nullable=False),
    sql.Column("decision", sql.LargeBinary, nullable=False),
)
BATCHES = sql.Table(
    "measurement_batches",
    METADATA,
    # SQLite counts only a plain INTEGER key up by itself.
    sql.Column("number", sql.BigInteger().with_variant(sql.Integer, "sqlite"), primary_key=True),
    sql.Column("producer", sql.String(200), nullable=False),
    sql.Column("sequence", sql.BigInteger, nullable=False),
    sql.Column("batch", sql.LargeBinary, nullable=False),
    sql.UniqueConstraint("producer", "sequence"),
    sqlite_autoincrement=True,
)
EVIDENCE = sql.Table(
    "evidence_batches",
    METADATA,
    sql.Column("model", sql.String(200), primary_key=True),
    sql.Column("number", sql.BigInteger, primary_key=True, autoincrement=False),
    sql.Column("decisions", sql.BigInteger, nullable=False),
    sql.Column("batch", sql.LargeBinary, nullable=False),
)
JUDGES = sql.Table(
    "judges",
    METADATA,
    sql.Column("model", sql.String(200), primary_key=True),
    sql.Column("batches", sql.BigInteger, nullable=False),
    sql.Column("record", sql.LargeBinary, nullable=False),
)
LEASES = sql.Table(
    "leases",
    METADATA,
    sql.Column("name", sql.String(40), primary_key=True),
    sql.Column("holder", sql.String(200), nullable=False),
    sql.Column("token", sql.BigInteger, nullable=False),
    sql.Column("expires_us", sql.BigInteger, nullable=False),
)
PRODUCERS = sql.Table(
    "measurement_producers",
    METADATA,
    sql.Column("producer", sql.String(200), primary_key=True),
    sql.Column("forgotten_to", sql.BigInteger, nullable=False),
)


def unfenced(_connection: Connection) -> None:
    """The fence of a database that one registry alone writes to."""


def open_database(url: str) -> Engine:
    """Opens a catalog's database and makes what is missing.

    Raises:
        InvalidInput: no such kind of database, it cannot be opened, or its catalog has another format.
    """
    try:
        engine = sql.create_engine(url)
        if engine.dialect.name == "sqlite":
            event.listen(engine, "connect", _sqlite_settings)
        with engine.begin() as connection:
            _prepare(connection)
    except (sql.exc.SQLAlchemyError, ImportError) as error:
        # The URL may hold a password, so it is not told.
        cause = getattr(error, "orig", None) or error
        raise InvalidInput(f"bad setting: registry.catalog_url: {str(cause).splitlines()[0]}") from error
    return engine


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """One transaction: committed at the end, rolled back on an error.

    Raises:
        Unavailable: the database does not answer.
    """
    try:
        with engine.begin() as connection:
            yield connection
    except (sql.exc.OperationalError, sql.exc.InterfaceError) as error:
        raise Unavailable(f"the catalog does not answer: {str(error.orig).splitlines()[0]}") from error


def _prepare(connection: Connection) -> None:
    known = set(sql.inspect(connection).get_table_names())
    if FORMAT.name not in known and known & set(METADATA.tables):
        raise InvalidInput("bad setting: registry.catalog_url: the catalog there has another format")
    METADATA.create_all(connection)
    found = connection.execute(sql.select(FORMAT.c.format)).scalars().all()
    if not found:
        connection.execute(sql.insert(FORMAT).values(format=CATALOG_FORMAT))
    elif list(found) != [CATALOG_FORMAT]:
        raise InvalidInput(f"bad setting: registry.catalog_url: catalog format {found[0]} is not known here")


def _sqlite_settings(connection: DBAPIConnection, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")  # a decision that was told is on disk
    cursor.execute(f"PRAGMA busy_timeout={BUSY_MS}")
    cursor.close()
