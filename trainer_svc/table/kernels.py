"""The table's inner loops, compiled. They release the GIL and touch nothing but the arrays they are given."""

from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt

from martlet.table_layout import C1, C2, C3, SHIFT1, SHIFT2, SLOTS

F = TypeVar("F", bound=Callable[..., Any])

_C1: Final = np.uint64(C1)
_C2: Final = np.uint64(C2)
_C3: Final = np.uint64(C3)
_S1: Final = np.uint64(SHIFT1)
_S2: Final = np.uint64(SHIFT2)
_S32: Final = np.uint64(32)
_LOW: Final = np.uint64(0xFFFFFFFF)

# A path of displacements is searched breadth first; with four slots a bucket, 340 places reach four moves deep.
MAX_SEARCH: Final = 340


def kernel(function: F) -> F:
    """Compiles a function of arrays and scalars. The one place where numba's untyped decorator is given a type."""
    return cast("F", numba.njit(nogil=True, cache=True)(function))


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
def slot_of(keys: npt.NDArray[np.int64], key: int) -> int:
    """The slot (bucket * 4 + place) that holds a key, or -1."""
    first, second = pair_of(key, keys.shape[0])
    for place in range(SLOTS):
        if keys[first, place] == key:
            return first * SLOTS + place
    for place in range(SLOTS):
        if keys[second, place] == key:
            return second * SLOTS + place
    return -1


@kernel
def find(keys: npt.NDArray[np.int64], wanted: npt.NDArray[np.int64], out: npt.NDArray[np.int64]) -> None:
    """Slots of many keys, -1 where absent."""
    for i in range(wanted.shape[0]):
        out[i] = slot_of(keys, wanted[i])


@kernel
def free_place(keys: npt.NDArray[np.int64], marks: npt.NDArray[np.int64], bucket: int) -> int:
    """The first empty place of a bucket, or -1."""
    for place in range(SLOTS):
        if keys[bucket, place] == marks[bucket]:
            return place
    return -1


@kernel
def open_slot(
    keys: npt.NDArray[np.int64],
    marks: npt.NDArray[np.int64],
    key: int,
    path: npt.NDArray[np.int64],
) -> int:
    """Finds where a new key can go: fills `path` with slots, the free one first, each to receive the next one's key.

    Returns the number of slots in the path (the last lies in one of the key's buckets), or 0 when none is found.
    Changes nothing. Breadth first from both buckets, so the path is shortest, and the same every time.
    """
    n = keys.shape[0]
    bucket_at = np.empty(MAX_SEARCH, np.int64)
    came_from = np.empty(MAX_SEARCH, np.int64)
    moved = np.empty(MAX_SEARCH, np.int64)
    bucket_at[0], bucket_at[1] = pair_of(key, n)
    came_from[0] = came_from[1] = -1
    count, at = 2, 0
    while at < count:
        bucket = bucket_at[at]
        place = free_place(keys, marks, bucket)
        if place >= 0:
            length, node = 1, at
            path[0] = bucket * SLOTS + place
            while came_from[node] >= 0:
                path[length] = moved[node]
                length += 1
                node = came_from[node]
            return length
        for place in range(SLOTS):
            if count < MAX_SEARCH:
                first, second = pair_of(keys[bucket, place], n)
                bucket_at[count] = second if first == bucket else first
                came_from[count] = at
                moved[count] = bucket * SLOTS + place
                count += 1
        at += 1
    return 0


@kernel
def noise(key: int, column: int) -> float:
    """A fixed pseudo-random number in [-1, 1) for each key and column: replay gives the same rows."""
    h = (np.uint64(key) + np.uint64(column + 1) * _C3) * _C1
    h ^= h >> np.uint64(31)
    h *= _C2
    h ^= h >> np.uint64(30)
    return float(h >> np.uint64(40)) / 8388608.0 - 1.0


@kernel
def move(
    source: int,
    target: int,
    keys: npt.NDArray[np.int64],
    rows: npt.NDArray[np.float32],
    accumulators: npt.NDArray[np.float32],
    spaces: npt.NDArray[np.uint16],
    last_used: npt.NDArray[np.int64],
) -> None:
    """Copies one slot with all that belongs to it onto another."""
    s, sp, t, tp = source // SLOTS, source % SLOTS, target // SLOTS, target % SLOTS
    keys[t, tp] = keys[s, sp]
    spaces[t, tp] = spaces[s, sp]
    last_used[t, tp] = last_used[s, sp]
    accumulators[target] = accumulators[source]
    rows[target] = rows[source]


@kernel
def insert(
    new_keys: npt.NDArray[np.int64],
    new_spaces: npt.NDArray[np.uint16],
    specials: npt.NDArray[np.int64],
    now_s: int,
    scale: float,
    limit: int,
    size: int,
    keys: npt.NDArray[np.int64],
    marks: npt.NDArray[np.int64],
    rows: npt.NDArray[np.float32],
    accumulators: npt.NDArray[np.float32],
    spaces: npt.NDArray[np.uint16],
    last_used: npt.NDArray[np.int64],
    flags: npt.NDArray[np.uint8],
) -> tuple[int, bool]:
    """Gives each absent key a slot, and each present one its time of use.

    Returns the table's size and whether all keys are in. A key that finds no place leaves the table as it was; those
    before it are whole.
    """
    first_special = keys.shape[0] * SLOTS
    path = np.empty(MAX_SEARCH, np.int64)
    for i in range(new_keys.shape[0]):
        key = new_keys[i]
        slot = slot_of(keys, key)
        if slot >= 0:
            last_used[slot // SLOTS, slot % SLOTS] = max(last_used[slot // SLOTS, slot % SLOTS], now_s)
            continue
        length = open_slot(keys, marks, key, path) if size < limit else 0
        if length == 0:
            return size, False
        for j in range(length - 1):
            move(path[j + 1], path[j], keys, rows, accumulators, spaces, last_used)
            flags[path[j] // SLOTS] |= 1
        slot = path[length - 1]
        keys[slot // SLOTS, slot % SLOTS] = key
        spaces[slot // SLOTS, slot % SLOTS] = new_spaces[i]
        last_used[slot // SLOTS, slot % SLOTS] = now_s
        accumulators[slot] = 0.0
        for column in range(rows.shape[1]):
            rows[slot, column] = rows[first_special + specials[i], column] + np.float32(scale * noise(key, column))
        flags[slot // SLOTS] |= 1
        size += 1
    return size, True


@kernel
def adagrad(
    order: npt.NDArray[np.int64],
    index: npt.NDArray[np.int64],
    gradients: npt.NDArray[np.float32],
    rate: float,
    epsilon: float,
    l2: float,
    zero_row: int,
    slots: int,
    rows: npt.NDArray[np.float32],
    accumulators: npt.NDArray[np.float32],
    flags: npt.NDArray[np.uint8],
) -> None:
    """Row-wise AdaGrad: one accumulator a row, of the mean square of its gradient.

    `order` sorts `index` stably, so gradients of one row are summed in the order in which they came.
    """
    width = rows.shape[1]
    total = np.empty(width, np.float32)
    i, n = 0, order.shape[0]
    while i < n:
        row = index[order[i]]
        total[:] = gradients[order[i]]
        i += 1
        while i < n and index[order[i]] == row:
            for column in range(width):
                total[column] += gradients[order[i], column]
            i += 1
        if row == zero_row:
            continue
        square = np.float32(0.0)
        for column in range(width):
            total[column] += np.float32(l2) * rows[row, column]
            square += total[column] * total[column]
        accumulators[row] += square / np.float32(width)
        step = np.float32(rate) / (np.sqrt(accumulators[row]) + np.float32(epsilon))
        for column in range(width):
            rows[row, column] -= step * total[column]
        if row < slots:
            flags[row // SLOTS] |= 1
