"""The tables of the loaded versions: which arena holds them, and which version looks at it how.

A version whose chain extends the chain of a loaded one needs only the deltas behind it, written to free buckets of the
same arena. Otherwise its base and chain are put together in memory and get an arena of their own.
"""

import itertools
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from martlet.artifacts import ArtifactStore
from martlet.errors import OverCapacity
from martlet.manifest import BlobRef, TableManifest
from martlet.table_blobs import TableBase, TableDelta
from martlet.table_chain import read_delta, read_table
from serving_svc.memory import give_back

_log = logging.getLogger(__name__)


class View(Protocol):
    """What one version sees of an arena."""

    @property
    def directory(self) -> npt.NDArray[np.int32]:
        """int32[n], logical bucket to physical bucket."""
        ...

    @property
    def special(self) -> npt.NDArray[np.int64]:
        """int64[s], the rows of the zero row and the default rows."""
        ...


class Arena(Protocol):
    """Buckets of one base and of the versions derived from it; a published bucket never changes."""

    @property
    def keys(self) -> npt.NDArray[np.int64]:
        """int64[P, 4], all physical buckets."""
        ...

    @property
    def rows(self) -> npt.NDArray[np.floating[Any]]:
        """float32 or float16 [P * 4, width]."""
        ...

    @property
    def rows_at(self) -> int:
        """Where in its file the rows begin, in bytes; the keys begin at 0."""
        ...

    @property
    def buckets(self) -> int:
        """Places for buckets in all."""
        ...

    @property
    def free_buckets(self) -> int:
        """Places that no view names."""
        ...

    @property
    def disk_bytes(self) -> int:
        """Of its file, with disk behind them."""
        ...

    def root(self) -> View:
        """The base."""
        ...

    def derive(self, parent: Any, delta: TableDelta) -> View:
        """The parent (a view that this arena gave) with a delta, in free buckets.

        Raises:
            OverCapacity: there are too few of them.
        """
        ...

    def release(self, view: Any) -> None:
        """Frees the buckets that only this view refers to."""
        ...

    def close(self) -> None:
        """Unmaps the arena."""
        ...


MakeArena = Callable[[Path, TableBase, int], Arena]


@dataclass(eq=False, slots=True)
class LoadedTable:
    """One chain in an arena. Shared by the versions whose chain it is.

    Attributes:
        users: versions that hold it.
    """

    table: TableManifest
    path: Path
    arena: Arena
    view: View
    users: int = 1

    @property
    def keys(self) -> npt.NDArray[np.int64]:
        """int64[P, 4], all physical buckets of the arena."""
        return self.arena.keys

    @property
    def rows(self) -> npt.NDArray[np.floating[Any]]:
        """float32 or float16 [P * 4, width]."""
        return self.arena.rows

    @property
    def rows_at(self) -> int:
        """Where in `path` the rows begin, in bytes; the keys begin at 0."""
        return self.arena.rows_at


class TableViews:
    """All loaded tables of this process. For one thread at a time: the loader's.

    Args:
        folder: for the arenas' files; what it holds may be lost at any time.
    """

    def __init__(self, artifacts: ArtifactStore, folder: Path, make_arena: MakeArena) -> None:
        self._artifacts = artifacts
        self._folder = folder
        self._make_arena = make_arena
        self._loaded: list[LoadedTable] = []
        self._numbers = itertools.count()

    def open(self, table: TableManifest) -> LoadedTable:
        """The table, by the shortest way there is. Give it back with `close`.

        Raises:
            Corrupt: a blob is damaged or does not fit its place in the chain.
            NotFound: a blob is absent.
        """
        parent = self._nearest(table)
        if parent is not None and len(parent.table.deltas) == len(table.deltas):
            parent.users += 1
            return parent
        loaded = self._extended(parent, table) if parent is not None else None
        if loaded is None:
            loaded = self._fresh(table)
        self._loaded.append(loaded)
        return loaded

    def close(self, loaded: LoadedTable) -> None:
        """Gives a table back; the last user frees its buckets, the last table its arena."""
        loaded.users -= 1
        if loaded.users:
            return
        self._loaded.remove(loaded)
        loaded.arena.release(loaded.view)
        if not any(other.arena is loaded.arena for other in self._loaded):
            loaded.arena.close()
            loaded.path.unlink(missing_ok=True)

    def arenas(self) -> list[tuple[str, Arena]]:
        """The table's name and the arena, of each arena once. From any thread; for looking at its size alone."""
        return list({id(loaded.arena): (loaded.table.name, loaded.arena) for loaded in self._loaded.copy()}.values())

    def _nearest(self, table: TableManifest) -> LoadedTable | None:
        """The loaded table of the same base with the longest chain that this one's begins with."""
        before = [loaded for loaded in self._loaded if _begins(table, loaded.table)]
        return max(before, key=lambda loaded: len(loaded.table.deltas), default=None)

    def _extended(self, parent: LoadedTable, table: TableManifest) -> LoadedTable | None:
        """The parent's table with the deltas behind it; None when its arena has no room."""
        arena, view = parent.arena, parent.view
        try:
            for position in range(len(parent.table.deltas), len(table.deltas)):
                derived = arena.derive(view, read_delta(self._artifacts, table, position))
                if view is not parent.view:
                    arena.release(view)
                view = derived
        except OverCapacity:
            _log.info("the arena of table %s is full, a new one is made", table.name)
            if view is not parent.view:
                arena.release(view)
            return None
        except BaseException:
            if view is not parent.view:
                arena.release(view)
            raise
        return LoadedTable(table, parent.path, arena, view)

    def _fresh(self, table: TableManifest) -> LoadedTable:
        base = read_table(self._artifacts, table)
        path = self._folder / f"{table.name}-{next(self._numbers)}.arena"
        self._folder.mkdir(parents=True, exist_ok=True)
        arena = self._make_arena(path, base, table.width)
        loaded = LoadedTable(table, path, arena, arena.root())
        del base  # the arena holds it all now
        give_back(table.base.size)
        return loaded


def _begins(table: TableManifest, other: TableManifest) -> bool:
    same = (table.base, table.width, table.buckets, table.dtype) == (
        other.base, other.width, other.buckets, other.dtype,
    )  # fmt: skip
    return same and _digests(table.deltas[: len(other.deltas)]) == _digests(other.deltas)


def _digests(blobs: Sequence[BlobRef]) -> list[str]:
    return [blob.digest for blob in blobs]
