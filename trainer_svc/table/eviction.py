"""Keys leave the table: for lack of use, or for lack of room the least recently used."""

from typing import Final

import numpy as np
import numpy.typing as npt

from martlet.table_layout import SLOTS
from trainer_svc.delta_tracker import DeltaTracker
from trainer_svc.table.columns import Columns
from trainer_svc.table.compiling import kernel
from trainer_svc.table.kernels import clear, empty_key, mark_key, mark_row
from trainer_svc.table.statistics import EVICTED, ROWS, Counters

_HALF_BITS: Final = 16
_ALL: Final = -1


def evict_unused(columns: Columns, tracker: DeltaTracker, counters: Counters, space: int, before_s: int) -> int:
    """Clears the slots of a space that were last used before a time; returns how many."""
    return _evict(columns, tracker.marks, tracker.unsaved, counters, space, before_s, 0)


def evict_least_recent(columns: Columns, tracker: DeltaTracker, counters: Counters, space: int, count: int) -> int:
    """Clears so many slots of a space, least recently used first, of equals the first; returns how many.

    Scans the table three times; takes no memory that grows with it.
    """
    count = min(count, int(counters[space, ROWS]))
    if count <= 0:
        return 0
    high, left = _quantile(columns, space, _ALL, count)
    low, left = _quantile(columns, space, high, left)
    return _evict(columns, tracker.marks, tracker.unsaved, counters, space, high << _HALF_BITS | low, left)


def _quantile(columns: Columns, space: int, high: int, count: int) -> tuple[int, int]:
    """The half of a time in which the count-th oldest slot lies, and which one it is among those there, from 1."""
    times = np.zeros(1 << _HALF_BITS, np.int64)
    _count_times(columns, space, high, times)
    until = np.cumsum(times)
    half = int(np.searchsorted(until, count))
    return half, count - int(until[half] - times[half])


def remove(
    columns: Columns, tracker: DeltaTracker, counters: Counters, space: int, slots: npt.NDArray[np.int64]
) -> None:
    """Clears given slots of a space, each held."""
    _remove(columns, tracker.marks, tracker.unsaved, slots)
    counters[space, ROWS] -= slots.shape[0]
    counters[space, EVICTED] += slots.shape[0]


@kernel
def _remove(
    columns: Columns,
    marks: npt.NDArray[np.uint16],
    unsaved: npt.NDArray[np.uint8],
    slots: npt.NDArray[np.int64],
) -> None:
    for slot in slots:
        clear(columns, slot)
        mark_key(marks, unsaved, slot)
        mark_row(marks, unsaved, slot)


@kernel
def _count_times(columns: Columns, space: int, high: int, times: npt.NDArray[np.int64]) -> None:
    """Counts a space's slots by the upper half of their time of use, or those of one upper half by the lower."""
    for bucket in range(columns.keys.shape[0]):
        empty = empty_key(columns.empties, bucket)
        for place in range(SLOTS):
            if columns.keys[bucket, place] == empty or columns.spaces[bucket, place] != space:
                continue
            time = np.int64(columns.last_used[bucket, place])
            if high == _ALL:
                times[time >> _HALF_BITS] += 1
            elif time >> _HALF_BITS == high:
                times[time & ((1 << _HALF_BITS) - 1)] += 1


@kernel
def _evict(
    columns: Columns,
    marks: npt.NDArray[np.uint16],
    unsaved: npt.NDArray[np.uint8],
    counters: npt.NDArray[np.int64],
    space: int,
    before_s: int,
    ties: int,
) -> int:
    """Clears the slots of a space that were last used before a time, and the first `ties` of those used right then."""
    cleared = 0
    for bucket in range(columns.keys.shape[0]):
        empty = empty_key(columns.empties, bucket)
        for place in range(SLOTS):
            if columns.keys[bucket, place] == empty or columns.spaces[bucket, place] != space:
                continue
            time = np.int64(columns.last_used[bucket, place])
            if time > before_s or (time == before_s and ties == 0):
                continue
            if time == before_s:
                ties -= 1
            slot = bucket * SLOTS + place
            clear(columns, slot)
            mark_key(marks, unsaved, slot)
            mark_row(marks, unsaved, slot)
            cleared += 1
    counters[space, ROWS] -= cleared
    counters[space, EVICTED] += cleared
    return cleared
