"""The catalog at one moment: nobody writes to it while that lasts, and it can be copied afterwards as it was then."""

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol, Self, TypeVar

from martlet.errors import Corrupt, NotFound, Unavailable

WAIT_SECONDS: Final = 10.0

T = TypeVar("T")


class CatalogCut(Protocol):
    """One moment of a catalog. Blocking; not thread-safe."""

    def __enter__(self) -> Self:
        """Nothing is held yet."""
        ...

    def __exit__(self, *_: object) -> None:
        """Lets go of the snapshot."""
        ...

    def freeze(self, work: Callable[[], T]) -> T:
        """Calls `work` while nobody writes; what `store` writes is the catalog of that moment.

        Raises:
            Unavailable: somebody else kept it locked.
        """
        ...

    def store(self, folder: Path) -> None:
        """Writes the catalog of that moment into a folder, durably."""
        ...


class SqliteCut:
    """The embedded catalog. A write of the registry waits for the moment's end, some milliseconds.

    Raises:
        NotFound: there is no catalog.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise NotFound(f"there is no catalog at {path}: nothing to back up")
        self._path = path
        self._snapshot: sqlite3.Connection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._snapshot is not None:
            self._snapshot.close()

    def freeze(self, work: Callable[[], T]) -> T:
        """See `CatalogCut`."""
        lock = sqlite3.connect(self._path, timeout=WAIT_SECONDS, isolation_level=None)
        try:
            lock.execute("BEGIN IMMEDIATE")
            result = work()
            snapshot = self._snapshot = sqlite3.connect(self._path, isolation_level=None)
            snapshot.execute("BEGIN")
            snapshot.execute("SELECT count(*) FROM sqlite_master").fetchone()  # the first read takes the snapshot
        except sqlite3.OperationalError as error:
            raise Unavailable(f"the catalog cannot be held still: {error}") from error
        finally:
            lock.close()
        return result

    def store(self, folder: Path) -> None:
        """Writes `catalog.db`.

        Raises:
            Corrupt: the catalog is damaged.
        """
        if self._snapshot is None:
            raise Unavailable("there is no moment to copy the catalog of")
        path = folder / self._path.name
        path.unlink(missing_ok=True)
        copy = sqlite3.connect(path, isolation_level=None)
        try:
            self._snapshot.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")  # one file, whole
            found = copy.execute("PRAGMA integrity_check").fetchone()[0]
        except sqlite3.DatabaseError as error:
            raise Corrupt(f"{self._path}: {error}") from error
        finally:
            copy.close()
        if found != "ok":
            raise Corrupt(f"{self._path} is damaged: {found}")
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
