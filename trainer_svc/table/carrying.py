"""What a table holds goes over into a larger one: the compiled loops."""

import numpy as np
import numpy.typing as npt

from martlet.table_layout import SLOTS
from trainer_svc.table.columns import Columns
from trainer_svc.table.compiling import kernel
from trainer_svc.table.kernels import clear, copy_slot, empty_key, pair_of, slot_of
from trainer_svc.table.placement import MAX_SEARCH, open_path


@kernel
def find_one(keys: npt.NDArray[np.int64], key: int) -> int:
    """The slot of a key, or -1."""
    first, second = pair_of(key, keys.shape[0])
    return slot_of(keys, first, second, key)


@kernel
def place(columns: Columns, key: int, path: npt.NDArray[np.int64], search: npt.NDArray[np.int64]) -> bool:
    """Gives an absent key a slot; says whether one was found."""
    first, second = pair_of(key, columns.keys.shape[0])
    length = open_path(columns.keys, columns.empties, first, second, path, search)
    if length == 0:
        return False
    for j in range(length - 1):
        copy_slot(columns, path[j + 1], columns, path[j])
    slot = path[length - 1]
    columns.keys[slot // SLOTS, slot % SLOTS] = key
    return True


@kernel
def place_all(keys: npt.NDArray[np.int64], empties: npt.NDArray[np.int64], larger: Columns) -> bool:
    """Gives the keys of a table, in the order of its slots, slots in a larger one; says whether all found one.

    A key's first bucket in the larger table lies as far along as in the smaller: so this mostly writes in order.
    """
    path = np.empty(MAX_SEARCH, np.int64)
    search = np.empty((3, MAX_SEARCH), np.int64)
    for bucket in range(keys.shape[0]):
        empty = empty_key(empties, bucket)
        for one in range(SLOTS):
            if keys[bucket, one] != empty and not place(larger, keys[bucket, one], path, search):
                return False
    return True


@kernel
def copy_all(smaller: Columns, keys: npt.NDArray[np.int64], larger: Columns) -> None:
    """Copies what belongs to the slots that held these keys.

    Of slots that are being written meanwhile anything may be copied: the keys they once held are taken from `keys`.
    """
    for bucket in range(keys.shape[0]):
        empty = empty_key(smaller.empties, bucket)
        for one in range(SLOTS):
            key = keys[bucket, one]
            if key == empty:
                continue
            slot = find_one(larger.keys, key)
            copy_slot(smaller, bucket * SLOTS + one, larger, slot)
            larger.keys[slot // SLOTS, slot % SLOTS] = key


@kernel
def carry_over(smaller: Columns, keys: npt.NDArray[np.int64], changed: npt.NDArray[np.int32], larger: Columns) -> bool:
    """Brings a larger table, filled from what the smaller once held, up to date; says whether there was room.

    Args:
        smaller: the table as it is now.
        keys: what it held when the larger one was begun.
        changed: the buckets in which anything changed since.
        larger: the table begun.
    """
    path = np.empty(MAX_SEARCH, np.int64)
    search = np.empty((3, MAX_SEARCH), np.int64)
    for bucket in changed:
        empty = empty_key(smaller.empties, bucket)
        for one in range(SLOTS):
            key = keys[bucket, one]
            if key != empty and find_one(smaller.keys, key) < 0:
                clear(larger, find_one(larger.keys, key))
    for bucket in changed:
        empty = empty_key(smaller.empties, bucket)
        for one in range(SLOTS):
            key = smaller.keys[bucket, one]
            if key != empty and find_one(larger.keys, key) < 0 and not place(larger, key, path, search):
                return False
    for bucket in changed:
        empty = empty_key(smaller.empties, bucket)
        for one in range(SLOTS):
            key = smaller.keys[bucket, one]
            if key != empty:
                copy_slot(smaller, bucket * SLOTS + one, larger, find_one(larger.keys, key))
    return True
