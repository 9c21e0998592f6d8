"""Keys come into the table: the compiled loops."""

from typing import Final

import numpy as np
import numpy.typing as npt

from martlet.table_layout import SLOTS
from trainer_svc.table.columns import Columns
from trainer_svc.table.compiling import kernel
from trainer_svc.table.kernels import (
    CHANGED,
    copy_slot,
    empty_key,
    fill,
    mark_key,
    mark_row,
    pair_of,
    place_of,
    slot_of,
)
from trainer_svc.table.prefetching import AHEAD, prefetch
from trainer_svc.table.statistics import ADMITTED, ROWS

# A path of displacements is searched breadth first: 2 buckets, 8 one move away, 32, 128, 512.
MAX_SEARCH: Final = 682


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
    counters: npt.NDArray[np.int64],
    size: int,
    limit: int,
    keys: npt.NDArray[np.int64],
    spaces: npt.NDArray[np.uint16],
    specials: npt.NDArray[np.int64],
    found: npt.NDArray[np.int64],
    now_s: int,
    scale: float,
) -> tuple[int, bool, bool]:
    """Gives each absent key a slot, and each present one of the same space its time of use.

    `found` holds what `find` said of the keys, and receives the new slots.

    Returns the table's size, whether all keys are in, and whether any was displaced, which makes `found` stale. A key
    that finds no place leaves the table as it was; those before it are whole.
    """
    buckets, displaced = columns.keys.shape[0], False
    path = np.empty(MAX_SEARCH, np.int64)
    search = np.empty((3, MAX_SEARCH), np.int64)
    for i in range(keys.shape[0]):
        if i % AHEAD == 0:
            ask_for_slots(columns, found, i)
        key, slot = keys[i], found[i]
        first, second = 0, 0
        if slot < 0 or columns.keys[slot // SLOTS, slot % SLOTS] != key:
            first, second = pair_of(key, buckets)
            slot = slot_of(columns.keys, first, second, key)
        if slot < 0:
            length = open_path(columns.keys, columns.empties, first, second, path, search) if size < limit else 0
            if length == 0:
                return size, False, displaced
            for j in range(length - 1):
                copy_slot(columns, path[j + 1], columns, path[j])
                mark_key(marks, unsaved, path[j])
                mark_row(marks, unsaved, path[j])
                displaced = True
            slot = path[length - 1]
            fill(columns, slot, key, spaces[i], buckets * SLOTS + specials[i], now_s, scale)
            mark_key(marks, unsaved, slot)
            mark_row(marks, unsaved, slot)
            counters[spaces[i], ROWS] += 1
            counters[spaces[i], ADMITTED] += 1
            size += 1
        elif columns.spaces[slot // SLOTS, slot % SLOTS] == spaces[i]:
            touch(columns, unsaved, slot, now_s)
        found[i] = slot
    return size, True, displaced


@kernel
def ask_for_slots(columns: Columns, slots: npt.NDArray[np.int64], start: int) -> None:
    """Asks for what `insert` reads of the next slots."""
    for i in range(start, min(start + AHEAD, slots.shape[0])):
        if slots[i] >= 0:
            prefetch(columns.spaces, slots[i] // SLOTS)
            prefetch(columns.last_used, slots[i] // SLOTS)


@kernel
def touch(columns: Columns, unsaved: npt.NDArray[np.uint8], slot: int, now_s: int) -> None:
    """A slot is used. Its time is state, but no part of a version: it is marked for checkpoints only."""
    bucket, place = slot // SLOTS, slot % SLOTS
    if columns.last_used[bucket, place] < now_s:
        columns.last_used[bucket, place] = now_s
        unsaved[bucket] |= CHANGED
