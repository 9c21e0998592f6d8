"""The arena: one memory-mapped file that holds a base and the changed buckets of every version derived from it.

A version is a directory from logical to physical buckets. A published bucket never changes: a changed one is copied to
a free place and changed there, and a place is free again when no live directory names it. The file is sparse, so
headroom costs nothing until it is used, and it may be lost at any time: it is made from blobs. It is never truncated
and never used twice.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt

from martlet.errors import Corrupt, OverCapacity
from martlet.table_blobs import TABLE_DTYPES, TableBase, TableDelta, places
from martlet.table_layout import SLOTS
from serving_svc.free_list import FreeList
from serving_svc.live_views import LiveViews
from serving_svc.sparse_file import SparseFile

_SPARE: Final = 64  # a tiny table still has room for some versions
_CHUNK_BYTES: Final = 4 << 20  # disk is reserved in such pieces of rows
_KEY_BYTES: Final = 8
_ALIGN: Final = 4096  # rows of a whole number of cache lines then begin with one

T = TypeVar("T", bound=np.generic)
Rows = npt.NDArray[np.floating[Any]]


class ArenaFull(OverCapacity):
    """Too few free buckets, or no disk behind them; a new arena is needed."""


@dataclass(frozen=True, slots=True, eq=False)
class TableView:
    """What one version sees of an arena.

    Attributes:
        directory: int32[n], logical to physical bucket.
        special: int64[s], rows of the special rows.
        outside: int32[], the physical buckets that hold the special rows.
    """

    directory: npt.NDArray[np.int32]
    special: npt.NDArray[np.int64]
    outside: npt.NDArray[np.int32]


class TableArena:
    """Buckets of one base and its descendants. One thread builds; any number of readers hold the arrays.

    Deriving copies the directory (4 bytes for each logical bucket) and the changed buckets; releasing costs what
    changed.

    Args:
        path: the file to make; one left by a process that died is replaced, not reused.
        base: becomes the root view; its dtype is the arena's.
        width: columns of a row.
        headroom: room for changed buckets, in proportion to the base's.

    Attributes:
        keys: int64[P, 4], all physical buckets. Read-only.
        rows: float32 or float16 [P * 4, width]. Read-only.

    Raises:
        ArenaFull: the disk has no room for the base.
        Corrupt: the base has another width, or rows of another dtype.
    """

    def __init__(self, path: Path, base: TableBase, width: int, headroom: float) -> None:
        if base.rows.shape[2] != width or str(base.rows.dtype) not in TABLE_DTYPES:
            raise Corrupt(f"the base has rows of {base.rows.shape[2]} columns of {base.rows.dtype}, not {width}")
        specials = _special_buckets(base.special.shape[0])
        self._capacity = base.buckets + specials * 4 + _SPARE + int(base.buckets * headroom)
        self._width = width
        self._dtype = base.rows.dtype
        self._row_bytes = SLOTS * width * self._dtype.itemsize
        self._row_start = -(-_KEY_BYTES * SLOTS * self._capacity // _ALIGN) * _ALIGN
        self._file = SparseFile(path, self._row_start + self._row_bytes * self._capacity)
        self._keys = self._file.array(np.int64, 0, self._capacity * SLOTS).reshape(-1, SLOTS)
        self._rows: Rows = self._file.array(self._dtype.type, self._row_start, self._capacity * SLOTS * width)
        self._rows = self._rows.reshape(-1, width)
        self.keys, self.rows = _read_only(self._keys), _read_only(self._rows)
        self._free = FreeList(self._capacity)
        self._reserved = 0
        self._live: dict[int, TableView] = {}
        self._views = LiveViews()
        try:
            self._root = self._written(base)
        except BaseException:
            self.close()
            raise

    @property
    def free_buckets(self) -> int:
        """Places left."""
        return self._free.count

    @property
    def buckets(self) -> int:
        """Places in all."""
        return self._capacity

    @property
    def disk_bytes(self) -> int:
        """Of the file, with disk behind them."""
        return self._reserved * (SLOTS * _KEY_BYTES + self._row_bytes)

    @property
    def rows_at(self) -> int:
        """Where in the file the rows begin, in bytes; the keys begin at 0."""
        return self._row_start

    def root(self) -> TableView:
        """The base's view; it holds its buckets until it is released."""
        return self._root

    def derive(self, parent: TableView, delta: TableDelta) -> TableView:
        """The parent with a delta. The parent stays as it is; release each of them.

        Raises:
            ArenaFull: too few free buckets. Nothing has changed then.
            Corrupt: the delta does not fit the parent.
            ValueError: the parent is not a live view of this arena.
        """
        self._check_live(parent)
        if delta.special.shape != (parent.special.shape[0], self._width) or delta.rows.shape[1] != self._width:
            raise Corrupt("a delta has other special rows or another width than its base")
        if not delta.rows.dtype == delta.special.dtype == self._dtype:
            raise Corrupt(f"a delta has rows of {delta.rows.dtype}, its base of {self._dtype}")
        changed, outside = self._places(delta.buckets.shape[0], parent.outside.shape[0])
        self._copy(parent.directory[delta.buckets], changed)
        self._overlay(changed, delta)
        directory = parent.directory.copy()
        directory[delta.buckets] = changed
        view = self._published(directory, outside, delta.special)
        self._views.add_child(id(view), directory, id(parent), delta.buckets)
        return view

    def release(self, view: TableView) -> None:
        """Frees the buckets that only this view refers to. Call it once for each view, when nobody reads it.

        Raises:
            ValueError: not a live view of this arena.
        """
        self._check_live(view)
        del self._live[id(view)]
        self._free.give(self._views.remove(id(view)))
        self._free.give(view.outside)

    def close(self) -> None:
        """Forgets the file; the memory goes when the last array over it does."""
        self._file.close()

    def _written(self, base: TableBase) -> TableView:
        directory, outside = self._places(base.buckets, _special_buckets(base.special.shape[0]))
        self._keys[directory] = base.keys
        self._by_bucket[directory] = base.rows
        view = self._published(directory, outside, base.special)
        self._views.add_root(id(view), directory)
        used = directory.shape[0] + outside.shape[0]
        self._file.populate(0, used * SLOTS * _KEY_BYTES)
        self._file.populate(self._row_start, used * self._row_bytes)
        return view

    def _places(self, inside: int, outside: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        """Free buckets with disk behind them: a write to a mapped page without would kill the process."""
        wanted = inside + outside
        if wanted > self._free.count:
            raise ArenaFull(f"{wanted} buckets are needed and {self._free.count} are free")
        self._reserve(self._free.end_after(wanted))
        places = self._free.take(wanted)
        return places[:inside], places[inside:]

    def _reserve(self, end: int) -> None:
        if end <= self._reserved:
            return
        end = min(end + _CHUNK_BYTES // self._row_bytes, self._capacity)
        new = end - self._reserved
        try:
            self._file.reserve(self._reserved * SLOTS * _KEY_BYTES, new * SLOTS * _KEY_BYTES)
            self._file.reserve(self._row_start + self._reserved * self._row_bytes, new * self._row_bytes)
        except OSError as error:
            raise ArenaFull(f"no disk for the arena: {error}") from error
        self._reserved = end

    @property
    def _by_bucket(self) -> Rows:
        return self._rows.reshape(-1, SLOTS, self._width)

    def _copy(self, old: npt.NDArray[np.int32], new: npt.NDArray[np.int32]) -> None:
        self._keys[new] = self._keys[old]
        self._by_bucket[new] = self._by_bucket[old]

    def _overlay(self, changed: npt.NDArray[np.int32], delta: TableDelta) -> None:
        """Writes the changed slots into the copies of their buckets."""
        bucket, place = places(delta.key_mask)
        self._keys[changed[bucket], place] = delta.keys
        bucket, place = places(delta.row_mask)
        self._by_bucket[changed[bucket], place] = delta.rows

    def _published(self, directory: npt.NDArray[np.int32], outside: npt.NDArray[np.int32], special: Rows) -> TableView:
        slots = outside.astype(np.int64)[:, None] * SLOTS + np.arange(SLOTS)
        special_rows = slots.reshape(-1)[: special.shape[0]].copy()
        self._rows[special_rows] = special
        view = TableView(directory, special_rows, outside)
        self._live[id(view)] = view
        return view

    def _check_live(self, view: TableView) -> None:
        if self._live.get(id(view)) is not view:
            raise ValueError("not a live view of this arena: released already, or another's")


def _special_buckets(specials: int) -> int:
    return -(-specials // SLOTS)


def _read_only(array: npt.NDArray[T]) -> npt.NDArray[T]:
    view = array.view()
    view.setflags(write=False)
    return view
