"""The arena: one memory-mapped file that holds a base and the changed buckets of every version derived from it.

A version is a directory from logical to physical buckets. A published bucket never changes: a changed one is written to
a free place, and a place is free again when no live directory names it. The file is sparse, so headroom costs nothing
until it is used, and it may be lost at any time: it is made from blobs.
"""

import contextlib
import mmap
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from martlet.errors import OverCapacity
from martlet.table_blobs import TableBase, TableDelta
from martlet.table_layout import SLOTS

_ALIGN: Final = 4096
_SPARE: Final = 64  # a tiny table still has room for some versions
_POPULATE_READ: Final = 22  # MADV_POPULATE_READ, Linux 5.14


class ArenaFull(OverCapacity):
    """Too few free buckets; a new arena is needed."""


@dataclass(frozen=True, slots=True, eq=False)
class TableView:
    """One version's view.

    Attributes:
        directory: int32[n], logical to physical bucket.
        special: int64[s], rows of the special rows.
        physical: int32[], every physical bucket the view refers to.
    """

    directory: npt.NDArray[np.int32]
    special: npt.NDArray[np.int64]
    physical: npt.NDArray[np.int32]


class TableArena:
    """Buckets of one base and its descendants. One thread builds; any number of readers hold the arrays.

    Attributes:
        keys: int64[P, 4], all physical buckets.
        rows: float32[P * 4, width].
    """

    def __init__(self, path: Path, base: TableBase, width: int, headroom: float) -> None:
        self._path = path
        self._width = width
        specials = _special_buckets(base.special.shape[0])
        capacity = base.buckets + specials * 4 + _SPARE + int(base.buckets * headroom)
        self._map = _map_file(path, capacity, width)
        keys_bytes = _aligned(capacity * SLOTS * 8)
        self.keys: npt.NDArray[np.int64] = np.frombuffer(self._map, np.int64, capacity * SLOTS).reshape(-1, SLOTS)
        flat = np.frombuffer(self._map, np.float32, capacity * SLOTS * width, keys_bytes)
        self.rows: npt.NDArray[np.float32] = flat.reshape(-1, width)
        self._buckets = self.rows.reshape(capacity, SLOTS, width)
        self._references = np.zeros(capacity, np.int32)
        self._free = _FreeList(capacity)
        self._root = self._write_base(base)

    @property
    def free_buckets(self) -> int:
        """Places left."""
        return self._free.count

    def root(self) -> TableView:
        """The base's view; it holds its buckets until it is released."""
        return self._root

    def derive(self, parent: TableView, delta: TableDelta) -> TableView:
        """The parent with a delta.

        Raises:
            ArenaFull: too few free buckets. Nothing has changed then.
        """
        specials = _special_buckets(delta.special.shape[0])
        places = self._free.take(delta.buckets.shape[0] + specials)
        changed, outside = places[: delta.buckets.shape[0]], places[delta.buckets.shape[0] :]
        self.keys[changed] = delta.keys
        self._buckets[changed] = delta.rows
        directory = parent.directory.copy()
        directory[delta.buckets] = changed
        return self._publish(directory, self._write_special(outside, delta.special), outside)

    def release(self, view: TableView) -> None:
        """Frees the buckets that only this view refers to. Call it once for each view, when nobody reads it."""
        self._references[view.physical] -= 1
        self._free.give(view.physical[self._references[view.physical] == 0])

    def close(self) -> None:
        """Forgets the file; the memory goes when the last array over it does."""
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()

    def _write_base(self, base: TableBase) -> TableView:
        places = self._free.take(base.buckets + _special_buckets(base.special.shape[0]))
        inside, outside = places[: base.buckets], places[base.buckets :]
        self.keys[inside] = base.keys
        self._buckets[inside] = base.rows
        view = self._publish(inside, self._write_special(outside, base.special), outside)
        with contextlib.suppress(OSError, ValueError):  # an older kernel cannot; the first requests then fault pages in
            self._map.madvise(_POPULATE_READ)
        return view

    def _write_special(self, places: npt.NDArray[np.int32], special: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
        slots = (places.astype(np.int64)[:, None] * SLOTS + np.arange(SLOTS)).reshape(-1)[: special.shape[0]]
        self.rows[slots] = special
        return slots

    def _publish(
        self,
        directory: npt.NDArray[np.int32],
        special: npt.NDArray[np.int64],
        outside: npt.NDArray[np.int32],
    ) -> TableView:
        view = TableView(directory, special, np.concatenate([directory, outside]))
        self._references[view.physical] += 1
        return view


class _FreeList:
    """Free physical buckets: never used ones ascending, then given-back ones."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._next = 0
        self._given: list[npt.NDArray[np.int32]] = []
        self._given_count = 0

    @property
    def count(self) -> int:
        return self._capacity - self._next + self._given_count

    def take(self, wanted: int) -> npt.NDArray[np.int32]:
        if wanted > self.count:
            raise ArenaFull(f"{wanted} buckets are needed and {self.count} are free")
        parts: list[npt.NDArray[np.int32]] = []
        missing = wanted
        while missing and self._given:
            given = self._given.pop()
            parts.append(given[:missing])
            if given.shape[0] > missing:
                self._given.append(given[missing:])
            missing -= parts[-1].shape[0]
        self._given_count -= wanted - missing
        parts.append(np.arange(self._next, self._next + missing, dtype=np.int32))
        self._next += missing
        return np.concatenate(parts)

    def give(self, buckets: npt.NDArray[np.int32]) -> None:
        if buckets.shape[0]:
            self._given.append(buckets)
            self._given_count += buckets.shape[0]


def _special_buckets(specials: int) -> int:
    return -(-specials // SLOTS)


def _aligned(size: int) -> int:
    return -(-size // _ALIGN) * _ALIGN


def _map_file(path: Path, capacity: int, width: int) -> mmap.mmap:
    size = _aligned(capacity * SLOTS * 8) + _aligned(capacity * SLOTS * width * 4)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.ftruncate(handle, size)
        return mmap.mmap(handle, size)
    finally:
        os.close(handle)
