"""The table's inner loops, compiled. They release the GIL and touch nothing but the arrays they are given."""

from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeVar, cast

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

# A path of displacements is searched breadth first: 2 buckets, 8 one move away, 32, 128, and a part of those behind.
MAX_SEARCH: Final = 340


class Columns(NamedTuple):
    """The arrays of one table, by slot (bucket * 4 + place); the special rows stand behind the slots.

    Attributes:
        keys: int64[n, 4].
        marks: int64[n], what an empty slot of each bucket holds.
        rows: float32[n * 4 + specials, width].
        accumulators: float32[n * 4 + specials].
        spaces: uint16[n, 4].
        last_used: int64[n, 4].
    """

    keys: npt.NDArray[np.int64]
    marks: npt.NDArray[np.int64]
    rows: npt.NDArray[np.float32]
    accumulators: npt.NDArray[np.float32]
    spaces: npt.NDArray[np.uint16]
    last_used: npt.NDArray[np.int64]


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
def find(keys: npt.NDArray[np.int64], wanted: npt.NDArray[np.int64], out: npt.NDArray[np.int64]) -> None:
    """Slots of many keys, -1 where absent."""
    for i in range(wanted.shape[0]):
        first, second = pair_of(wanted[i], keys.shape[0])
        out[i] = slot_of(keys, first, second, wanted[i])


@kernel
def open_path(
    keys: npt.NDArray[np.int64],
    marks: npt.NDArray[np.int64],
    first: int,
    second: int,
    path: npt.NDArray[np.int64],
    search: npt.NDArray[np.int64],
) -> int:
    """Finds where a new key can go: fills `path` with slots, the free one first, each to receive the next one's key.

    Returns the number of slots in the path (the last lies in one of the key's buckets), or 0 when none is found.
    Changes nothing else than `path` and `search`, its scratch int64[3, MAX_SEARCH]. Breadth first from both buckets, so
    the path is shortest, and the same every time; a shortest path does not come to a slot twice.
    """
    bucket_at, came_from, moved = search[0], search[1], search[2]
    bucket_at[0], bucket_at[1] = first, second
    came_from[0] = came_from[1] = -1
    count, at = 2, 0
    while at < count:
        bucket = bucket_at[at]
        place = place_of(keys, bucket, marks[bucket])
        if place >= 0:
            return trace(path, at, bucket * SLOTS + place, came_from, moved)
        for place in range(SLOTS):
            if count < MAX_SEARCH:
                one, other = pair_of(keys[bucket, place], keys.shape[0])
                bucket_at[count] = other if one == bucket else one
                came_from[count] = at
                moved[count] = bucket * SLOTS + place
                count += 1
        at += 1
    return 0


@kernel
def trace(
    path: npt.NDArray[np.int64],
    node: int,
    free_slot: int,
    came_from: npt.NDArray[np.int64],
    moved: npt.NDArray[np.int64],
) -> int:
    """Writes the way back from a free slot to one of the roots into `path`; returns its length."""
    path[0] = free_slot
    length = 1
    while came_from[node] >= 0:
        path[length] = moved[node]
        length += 1
        node = came_from[node]
    return length


@kernel
def noise(key: int, column: int) -> float:
    """A fixed pseudo-random number in [-1, 1) for each key and column: replay gives the same rows."""
    h = (np.uint64(key) + np.uint64(column + 1) * _C3) * _C1
    h ^= h >> np.uint64(31)
    h *= _C2
    h ^= h >> np.uint64(30)
    return float(h >> np.uint64(40)) / 8388608.0 - 1.0


@kernel
def move(columns: Columns, source: int, target: int) -> None:
    """Copies one slot with all that belongs to it onto another."""
    s, sp, t, tp = source // SLOTS, source % SLOTS, target // SLOTS, target % SLOTS
    columns.keys[t, tp] = columns.keys[s, sp]
    columns.spaces[t, tp] = columns.spaces[s, sp]
    columns.last_used[t, tp] = columns.last_used[s, sp]
    columns.accumulators[target] = columns.accumulators[source]
    for column in range(columns.rows.shape[1]):
        columns.rows[target, column] = columns.rows[source, column]


@kernel
def fill(columns: Columns, slot: int, key: int, space: int, default: int, now_s: int, scale: float) -> None:
    """Makes a slot the key's, with its default row and a little noise; scale 0 leaves the row to the caller."""
    bucket, place = slot // SLOTS, slot % SLOTS
    columns.keys[bucket, place] = key
    columns.spaces[bucket, place] = space
    columns.last_used[bucket, place] = now_s
    columns.accumulators[slot] = 0.0
    if scale == 0.0:
        return
    for column in range(columns.rows.shape[1]):
        columns.rows[slot, column] = columns.rows[default, column] + np.float32(scale * noise(key, column))


@kernel
def insert(
    columns: Columns,
    flags: npt.NDArray[np.uint8],
    size: int,
    limit: int,
    keys: npt.NDArray[np.int64],
    spaces: npt.NDArray[np.uint16],
    specials: npt.NDArray[np.int64],
    now_s: int,
    scale: float,
) -> tuple[int, bool]:
    """Gives each absent key a slot, and each present one of the same space its time of use.

    Returns the table's size and whether all keys are in. A key that finds no place leaves the table as it was; those
    before it are whole.
    """
    buckets = columns.keys.shape[0]
    path = np.empty(MAX_SEARCH, np.int64)
    search = np.empty((3, MAX_SEARCH), np.int64)
    for i in range(keys.shape[0]):
        key = keys[i]
        first, second = pair_of(key, buckets)
        slot = slot_of(columns.keys, first, second, key)
        if slot >= 0:
            bucket, place = slot // SLOTS, slot % SLOTS
            if columns.spaces[bucket, place] == spaces[i] and columns.last_used[bucket, place] < now_s:
                columns.last_used[bucket, place] = now_s
            continue
        length = open_path(columns.keys, columns.marks, first, second, path, search) if size < limit else 0
        if length == 0:
            return size, False
        for j in range(length - 1):
            move(columns, path[j + 1], path[j])
            flags[path[j] // SLOTS] |= 1
        slot = path[length - 1]
        fill(columns, slot, key, spaces[i], buckets * SLOTS + specials[i], now_s, scale)
        flags[slot // SLOTS] |= 1
        size += 1
    return size, True


@kernel
def gather(rows: npt.NDArray[np.float32], index: npt.NDArray[np.int64], out: npt.NDArray[np.float32]) -> None:
    """Copies rows."""
    for i in range(index.shape[0]):
        for column in range(rows.shape[1]):
            out[i, column] = rows[index[i], column]


@kernel
def sum_by_row(
    index: npt.NDArray[np.int64],
    gradients: npt.NDArray[np.float32],
    groups: npt.NDArray[np.int32],
    members: npt.NDArray[np.int64],
    sums: npt.NDArray[np.float32],
) -> int:
    """Sums the gradients of each row in the order in which they came; returns how many different rows there are.

    `groups` is scratch of one number for each row of the table, zero before and after. `members` receives the rows in
    order of appearance, `sums` their sums.
    """
    count = 0
    for i in range(index.shape[0]):
        row = index[i]
        group = groups[row] - 1
        if group < 0:
            group = count
            count += 1
            groups[row] = count
            members[group] = row
            for column in range(gradients.shape[1]):
                sums[group, column] = gradients[i, column]
        else:
            for column in range(gradients.shape[1]):
                sums[group, column] += gradients[i, column]
    for group in range(count):
        groups[members[group]] = 0
    return count


@kernel
def adagrad(
    columns: Columns,
    flags: npt.NDArray[np.uint8],
    members: npt.NDArray[np.int64],
    sums: npt.NDArray[np.float32],
    rate: float,
    epsilon: float,
    l2: float,
) -> None:
    """Row-wise AdaGrad on distinct rows: one accumulator a row, of the mean square of its gradient.

    The zero row stays. `sums` is overwritten.
    """
    slots, width = columns.keys.shape[0] * SLOTS, columns.rows.shape[1]
    for i in range(members.shape[0]):
        row = members[i]
        if row == slots:
            continue
        square = np.float32(0.0)
        for column in range(width):
            sums[i, column] += np.float32(l2) * columns.rows[row, column]
            square += sums[i, column] * sums[i, column]
        columns.accumulators[row] += square / np.float32(width)
        step = np.float32(rate) / (np.sqrt(columns.accumulators[row]) + np.float32(epsilon))
        for column in range(width):
            columns.rows[row, column] -= step * sums[i, column]
        if row < slots:
            flags[row // SLOTS] |= 1
