"""Rows are found, read, and their gradients summed: the compiled loops.

A lookup in a large table waits for memory, twice for a key and once for a row. So keys are taken `AHEAD` at a time: all
are hashed and their buckets asked for, then all compared; the comparisons do not branch, since a branch that is guessed
wrongly (which of two buckets it was) throws away what was begun behind it.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from martlet.table_layout import C3, SLOTS
from trainer_svc.table.compiling import kernel
from trainer_svc.table.kernels import load, pair_of
from trainer_svc.table.prefetching import AHEAD, prefetch

_C3: Final = np.uint64(C3)


@kernel
def slot_among(keys: npt.NDArray[np.int64], first: int, second: int, key: int) -> int:
    """The slot that holds a key of these two buckets, or -1; without branches."""
    slot = -1
    for place in range(SLOTS):
        slot = first * SLOTS + place if keys[first, place] == key else slot
    for place in range(SLOTS):
        slot = second * SLOTS + place if keys[second, place] == key else slot
    return slot


@kernel
def find(keys: npt.NDArray[np.int64], wanted: npt.NDArray[np.int64], out: npt.NDArray[np.int64]) -> None:
    """Slots of many keys, -1 where absent."""
    firsts, seconds = np.empty(AHEAD, np.int64), np.empty(AHEAD, np.int64)
    for start in range(0, wanted.shape[0], AHEAD):
        count = min(AHEAD, wanted.shape[0] - start)
        for i in range(count):
            firsts[i], seconds[i] = pair_of(wanted[start + i], keys.shape[0])
            prefetch(keys, firsts[i])
            prefetch(keys, seconds[i])
        for i in range(count):
            out[start + i] = slot_among(keys, firsts[i], seconds[i], wanted[start + i])


@kernel
def gather(rows: npt.NDArray[Any], index: npt.NDArray[np.int64], out: npt.NDArray[np.float32]) -> None:
    """Copies rows, as float32."""
    for start in range(0, index.shape[0], AHEAD):
        end = min(start + AHEAD, index.shape[0])
        for i in range(start, end):
            prefetch(rows, index[i])
        for i in range(start, end):
            row = index[i]
            for column in range(rows.shape[1]):
                out[i, column] = load(rows, row, column)


@kernel
def sum_by_row(
    index: npt.NDArray[np.int64],
    gradients: npt.NDArray[np.float32],
    groups: npt.NDArray[np.int32],
    members: npt.NDArray[np.int64],
    sums: npt.NDArray[np.float32],
) -> int:
    """Sums the gradients of each row in the order in which they came; returns how many different rows there are.

    `groups` is scratch, a power of two and more than the rows given: a hash table from row to 1 + its group.
    `members` receives the rows in order of appearance, `sums` their sums.
    """
    groups[:] = 0
    mask, count = groups.shape[0] - 1, 0
    for i in range(index.shape[0]):
        row = index[i]
        at = np.int64((np.uint64(row) * _C3) >> np.uint64(32)) & mask
        while groups[at] != 0 and members[groups[at] - 1] != row:
            at = (at + 1) & mask
        group = groups[at] - 1
        if group < 0:
            group = count
            count += 1
            groups[at] = count
            members[group] = row
            for column in range(gradients.shape[1]):
                sums[group, column] = gradients[i, column]
        else:
            for column in range(gradients.shape[1]):
                sums[group, column] += gradients[i, column]
    return count
