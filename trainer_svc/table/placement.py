"""Keys come into the table and leave it: the compiled loops."""

from typing import Final

import numpy as np
import numpy.typing as npt

from martlet.table_layout import SLOTS
from trainer_svc.table.columns import Columns
from trainer_svc.table.compiling import kernel
from trainer_svc.table.kernels import (
    clear,
    empty_key,
    fill,
    mark_key,
    mark_row,
    move,
    pair_of,
    place_of,
    slot_of,
)

# A path of displacements is searched breadth first: 2 buckets, 8 one move away, 32, 128, and a part of those behind.
MAX_SEARCH: Final = 340


@kernel
def open_path(
    keys: npt.NDArray[np.int64],
    empties: npt.NDArray[np.int64],
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
        place = place_of(keys, bucket, empty_key(empties, bucket))
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
def insert(
    columns: Columns,
    marks: npt.NDArray[np.uint16],
    unsaved: npt.NDArray[np.uint8],
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
                unsaved[bucket] |= np.uint8(1)
            continue
        length = open_path(columns.keys, columns.empties, first, second, path, search) if size < limit else 0
        if length == 0:
            return size, False
        for j in range(length - 1):
            move(columns, path[j + 1], path[j])
            mark_key(marks, unsaved, path[j])
            mark_row(marks, unsaved, path[j])
        slot = path[length - 1]
        fill(columns, slot, key, spaces[i], buckets * SLOTS + specials[i], now_s, scale)
        mark_key(marks, unsaved, slot)
        mark_row(marks, unsaved, slot)
        size += 1
    return size, True


@kernel
def evict(
    columns: Columns,
    marks: npt.NDArray[np.uint16],
    unsaved: npt.NDArray[np.uint8],
    space: int,
    before_s: int,
) -> int:
    """Clears the slots of a space that were last used before a time; returns how many."""
    cleared = 0
    for bucket in range(columns.keys.shape[0]):
        empty = empty_key(columns.empties, bucket)
        for place in range(SLOTS):
            if columns.keys[bucket, place] == empty or columns.spaces[bucket, place] != space:
                continue
            if columns.last_used[bucket, place] < before_s:
                slot = bucket * SLOTS + place
                clear(columns, slot)
                mark_key(marks, unsaved, slot)
                mark_row(marks, unsaved, slot)
                cleared += 1
    return cleared


@kernel
def held(keys: npt.NDArray[np.int64], empties: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Which slots hold a key: bool[n, 4]."""
    found = np.empty(keys.shape, np.bool_)
    for bucket in range(keys.shape[0]):
        empty = empty_key(empties, bucket)
        for place in range(SLOTS):
            found[bucket, place] = keys[bucket, place] != empty
    return found
