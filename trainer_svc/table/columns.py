"""The arrays of one table."""

from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from martlet.table_layout import MAX_BUCKETS, MIN_BUCKETS, SLOTS, buckets_of
from trainer_svc.table.memory import zeros

RowType = Literal["float32", "float16"]


class Columns(NamedTuple):
    """The arrays of one table, by slot (bucket * 4 + place); the special rows stand behind the slots.

    Attributes:
        keys: int64[n, 4].
        empties: int64[2, 2], the two buckets whose empty slots hold another key than 0, and those keys.
        rows: float32[n * 4 + specials, width], or a float16's bits as uint16.
        optimizer: float32[n * 4 + specials, optimizer columns].
        spaces: uint16[n, 4].
        last_used: uint32[n, 4], event time in seconds.
    """

    keys: npt.NDArray[np.int64]
    empties: npt.NDArray[np.int64]
    rows: npt.NDArray[Any]
    optimizer: npt.NDArray[np.float32]
    spaces: npt.NDArray[np.uint16]
    last_used: npt.NDArray[np.uint32]


def empty_columns(buckets: int, width: int, specials: int, optimizer_columns: int, dtype: RowType) -> Columns:
    """Arrays that hold no key.

    Raises:
        ValueError: more or fewer buckets than a table can have.
    """
    empties = odd_empty_keys(buckets)
    keys = zeros((buckets, SLOTS), np.int64)
    keys[empties[:, 0]] = empties[:, 1:]
    rows = buckets * SLOTS + specials
    return Columns(
        keys=keys,
        empties=empties,
        rows=zeros((rows, width), np.float32) if dtype == "float32" else zeros((rows, width), np.uint16),
        optimizer=zeros((rows, optimizer_columns), np.float32),
        spaces=zeros((buckets, SLOTS), np.uint16),
        last_used=zeros((buckets, SLOTS), np.uint32),
    )


def odd_empty_keys(buckets: int) -> npt.NDArray[np.int64]:
    """The two buckets that key 0 belongs to, each with the least key that does not: int64[2, 2].

    With 0 for all other buckets that is `martlet.table_layout.empty_keys`, without its eight bytes a bucket.
    """
    if not MIN_BUCKETS <= buckets <= MAX_BUCKETS:
        raise ValueError(f"a table has {MIN_BUCKETS} to {MAX_BUCKETS} buckets, not {buckets}")
    pair = [int(bucket[0]) for bucket in buckets_of(np.zeros(1, np.int64), buckets)]
    found = []
    for bucket in pair:
        key = 1
        while bucket in [int(one[0]) for one in buckets_of(np.array([key], np.int64), buckets)]:
            key += 1
        found.append((bucket, key))
    return np.array(found, np.int64)
