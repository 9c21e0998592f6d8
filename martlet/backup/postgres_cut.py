"""The catalog on PostgreSQL at one moment: a lock on its tables, a snapshot that is exported, and pg_dump on that."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Self, TypeVar

from martlet.backup.catalog_cut import WAIT_SECONDS
from martlet.errors import InvalidInput, Unavailable

DUMP: Final = "catalog.dump"
TABLES: Final = "lanes, versions, decisions, evidence_batches, judges"

T = TypeVar("T")


class PostgresCut:
    """See `martlet.backup.catalog_cut.CatalogCut`. Writes of the registries wait for the moment's end.

    Args:
        url: the SQLAlchemy URL of the settings.

    Raises:
        InvalidInput: the URL is none of PostgreSQL, or there is neither SQLAlchemy nor pg_dump here.
    """

    def __init__(self, url: str) -> None:
        try:
            import sqlalchemy as sql  # noqa: PLC0415  the extra `registry`; an embedded catalog needs nothing
        except ImportError as error:
            raise InvalidInput(f"a catalog elsewhere is backed up with martlet[registry,postgres]: {error}") from error
        self._url = sql.make_url(url)
        if self._url.get_backend_name() != "postgresql":
            raise InvalidInput(
                f"bad setting: registry.catalog_url: no backup of {self._url.get_backend_name()} is known"
            )
        program = shutil.which("pg_dump")
        if program is None:
            raise InvalidInput("there is no pg_dump on this machine's PATH")
        self._program, self._text = program, sql.text
        self._engine = sql.create_engine(self._url, poolclass=sql.pool.NullPool)
        self._snapshot: Any = None
        self._name = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._snapshot is not None:
            self._snapshot.close()
        self._engine.dispose()

    def freeze(self, work: Callable[[], T]) -> T:
        """See `CatalogCut`."""
        from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415  as above

        try:
            with self._engine.connect() as lock:
                lock.execute(self._text(f"SET LOCAL lock_timeout = '{WAIT_SECONDS:.0f}s'"))
                lock.execute(self._text(f"LOCK TABLE {TABLES} IN SHARE MODE"))
                snapshot = self._engine.connect().execution_options(isolation_level="REPEATABLE READ")
                self._snapshot = snapshot
                self._name = snapshot.execute(self._text("SELECT pg_export_snapshot()")).scalar_one()
                return work()
        except SQLAlchemyError as error:
            cause = getattr(error, "orig", None) or error
            raise Unavailable(f"the catalog cannot be held still: {str(cause).splitlines()[0]}") from error

    def store(self, folder: Path) -> None:
        """Writes `catalog.dump`, in pg_dump's own format.

        Raises:
            Unavailable: pg_dump failed; the message is its own.
        """
        path = folder / DUMP
        path.unlink(missing_ok=True)
        plain = self._url.set(drivername="postgresql", password=None).render_as_string()
        secret = {"PGPASSWORD": self._url.password} if self._url.password else {}
        done = subprocess.run(  # noqa: S603  a program by its path, with settings of the operator's own
            [self._program, "--format=custom", "--no-owner", f"--snapshot={self._name}", f"--file={path}", plain],
            env={**os.environ, **secret},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise Unavailable(f"pg_dump: {done.stderr.strip() or done.returncode}")
