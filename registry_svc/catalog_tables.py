"""The catalog's tables, format 1, and transactions on them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import sqlalchemy as sql
from sqlalchemy.engine import Connection, Engine

from martlet.errors import Unavailable

CATALOG_FORMAT: Final = 1

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


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """One transaction: committed at the end, rolled back on an error.

    Raises:
        Unavailable: the database does not answer.
    """
    try:
        with engine.begin() as connection:
            yield connection
    except (sql.exc.OperationalError, sql.exc.InterfaceError, sql.exc.ProgrammingError) as error:
        raise Unavailable(f"the catalog does not answer: {str(error.orig).splitlines()[0]}") from error
