"""The basic steps of the table's compiled loops: where a key belongs, what a slot holds, that it changed.

Kernels release the GIL and touch nothing but the arrays they are given; they do not check indices.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt
from numba import types

from martlet.table_layout import C1, C2, C3, SHIFT1, SHIFT2, SLOTS
from trainer_svc.delta_tracker import SINCE_GROWTH, UNSAVED
from trainer_svc.table.columns import Columns
from trainer_svc.table.compiling import compiled_form, kernel
from trainer_svc.table.half import narrowed, widened

_C1: Final = np.uint64(C1)
_C2: Final = np.uint64(C2)
_C3: Final = np.uint64(C3)
_S1: Final = np.uint64(SHIFT1)
_S2: Final = np.uint64(SHIFT2)
_S32: Final = np.uint64(32)
_LOW: Final = np.uint64(0xFFFFFFFF)
# What a change sets of a bucket's `unsaved`: for the next checkpoint, and for a growth under way.
CHANGED: Final = np.uint8(UNSAVED | SINCE_GROWTH)


@kernel
def pair_of(key: int, n: int) -> tuple[int, int]:
    """Both logical buckets of a key (see `martlet.table_layout`)."""
    h = np.uint64(key) * _C1
    h ^= h >> _S1
    h *= _C2
    h ^= h >> _S2
    h *= _C3
    first = np.int64(((h >> _S32) * np.uint64(n)) >> _S32)
    second = np.int64(((h & _LOW) * np.uint64(n - 1)) >> _S32)
    if second >= first:
        second += 1
    return int(first), int(second)


@kernel
def place_of(keys: npt.NDArray[np.int64], bucket: int, key: int) -> int:
    """The place of a key in a bucket, or -1."""
    for place in range(SLOTS):
        if keys[bucket, place] == key:
            return place
    return -1


@kernel
def slot_of(keys: npt.NDArray[np.int64], first: int, second: int, key: int) -> int:
    """The slot that holds a key of these two buckets, or -1."""
    place = place_of(keys, first, key)
    if place >= 0:
        return first * SLOTS + place
    place = place_of(keys, second, key)
    return second * SLOTS + place if place >= 0 else -1


@kernel
def empty_key(empties: npt.NDArray[np.int64], bucket: int) -> int:
    """What an empty slot of a bucket holds (see `martlet.table_layout.empty_keys`)."""
    for i in range(empties.shape[0]):
        if empties[i, 0] == bucket:
            return int(empties[i, 1])
    return 0


@kernel
def mark_row(marks: npt.NDArray[np.uint16], unsaved: npt.NDArray[np.uint8], slot: int) -> None:
    """The row of a slot changed (see `trainer_svc.delta_tracker`). A special row, behind the slots, bears no mark."""
    bucket = slot // SLOTS
    if bucket < marks.shape[0]:
        marks[bucket] |= np.uint16(1 << (slot % SLOTS))
        unsaved[bucket] |= CHANGED


@kernel
def mark_key(marks: npt.NDArray[np.uint16], unsaved: npt.NDArray[np.uint8], slot: int) -> None:
    """The key of a slot was placed, displaced or cleared."""
    bucket = slot // SLOTS
    marks[bucket] |= np.uint16(1 << (SLOTS + slot % SLOTS))
    unsaved[bucket] |= CHANGED


def load(rows: npt.NDArray[Any], row: int, column: int) -> Any:
    """One number of a row, as float32. In kernels only."""
    raise NotImplementedError


def store(rows: npt.NDArray[Any], row: int, column: int, value: Any) -> None:
    """Writes one number of a row; a float16 is the nearest, ties to even. In kernels only."""
    raise NotImplementedError


def _load_float(rows: npt.NDArray[Any], row: int, column: int) -> Any:
    return rows[row, column]


def _load_half(rows: npt.NDArray[Any], row: int, column: int) -> Any:
    return widened(rows[row, column])


def _store_float(rows: npt.NDArray[Any], row: int, column: int, value: Any) -> None:
    rows[row, column] = np.float32(value)


def _store_half(rows: npt.NDArray[Any], row: int, column: int, value: Any) -> None:
    rows[row, column] = narrowed(float(np.float32(value)))


@compiled_form(load)
def _choose_load(rows: Any, row: Any, column: Any) -> Any:  # noqa: ARG001 - numba asks for the same parameters
    return _load_half if rows.dtype == types.uint16 else _load_float


@compiled_form(store)
def _choose_store(rows: Any, row: Any, column: Any, value: Any) -> Any:  # noqa: ARG001 - as above
    return _store_half if rows.dtype == types.uint16 else _store_float


@kernel
def read_row(rows: npt.NDArray[Any], row: int, out: npt.NDArray[np.float32]) -> None:
    """Copies a row of float32, or of float16 kept as bits, into float32[width]."""
    for column in range(rows.shape[1]):
        out[column] = load(rows, row, column)


@kernel
def write_row(rows: npt.NDArray[Any], row: int, values: npt.NDArray[np.float32]) -> None:
    """Writes float32[width] into a row of float32, or of float16 kept as bits: to nearest, ties to even."""
    for column in range(rows.shape[1]):
        store(rows, row, column, values[column])


@kernel
def noise(key: int, column: int) -> float:
    """A fixed pseudo-random number in [-1, 1) for each key and column: replay gives the same rows."""
    h = (np.uint64(key) + np.uint64(column + 1) * _C3) * _C1
    h ^= h >> np.uint64(31)
    h *= _C2
    h ^= h >> np.uint64(30)
    return float(h >> np.uint64(40)) / 8388608.0 - 1.0


@kernel
def copy_slot(source: Columns, slot: int, target: Columns, onto: int) -> None:
    """Copies one slot with all that belongs to it onto one of the same, or of another table."""
    s, sp, t, tp = slot // SLOTS, slot % SLOTS, onto // SLOTS, onto % SLOTS
    target.keys[t, tp] = source.keys[s, sp]
    target.spaces[t, tp] = source.spaces[s, sp]
    target.last_used[t, tp] = source.last_used[s, sp]
    for column in range(source.optimizer.shape[1]):
        target.optimizer[onto, column] = source.optimizer[slot, column]
    for column in range(source.rows.shape[1]):
        target.rows[onto, column] = source.rows[slot, column]


@kernel
def fill(columns: Columns, slot: int, key: int, space: int, default: int, now_s: int, scale: float) -> None:
    """Makes a slot the key's, with its default row and a little noise; scale 0 leaves the row to the caller."""
    bucket, place = slot // SLOTS, slot % SLOTS
    columns.keys[bucket, place] = key
    columns.spaces[bucket, place] = space
    columns.last_used[bucket, place] = now_s
    for column in range(columns.optimizer.shape[1]):
        columns.optimizer[slot, column] = 0.0
    if scale == 0.0:
        return
    for column in range(columns.rows.shape[1]):
        value = load(columns.rows, default, column) + np.float32(scale * noise(key, column))
        store(columns.rows, slot, column, value)


@kernel
def clear(columns: Columns, slot: int) -> None:
    """Makes a slot as if no key had ever been in it."""
    bucket, place = slot // SLOTS, slot % SLOTS
    columns.keys[bucket, place] = empty_key(columns.empties, bucket)
    columns.spaces[bucket, place] = 0
    columns.last_used[bucket, place] = 0
    for column in range(columns.optimizer.shape[1]):
        columns.optimizer[slot, column] = 0.0
    for column in range(columns.rows.shape[1]):
        store(columns.rows, slot, column, np.float32(0.0))
