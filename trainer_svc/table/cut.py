"""What changed in a table since its last publish, copied."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from martlet.table_layout import SLOTS


@dataclass(frozen=True, slots=True)
class TableCut:
    """Copies of the slots that changed.

    Attributes:
        buckets: int32[m], ascending.
        row_mask: uint8[m], bit p: the row in place p is here.
        key_mask: uint8[m], bit p: the key in place p is here.
        keys: int64[number of bits in `key_mask`], bucket by bucket, place by place.
        rows: float32[number of bits in `row_mask`, width], likewise.
        special: float32[specials, width], all special rows.
    """

    buckets: npt.NDArray[np.int32]
    row_mask: npt.NDArray[np.uint8]
    key_mask: npt.NDArray[np.uint8]
    keys: npt.NDArray[np.int64]
    rows: npt.NDArray[np.float32]
    special: npt.NDArray[np.float32]


def slots_of(buckets: npt.NDArray[np.int32], mask: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """The slots that the mask of each bucket names, ascending: int64[number of bits].

    >>> slots_of(np.array([0, 5], np.int32), np.array([0b0001, 0b1010], np.uint8)).tolist()
    [0, 21, 23]
    """
    chosen, place = np.nonzero(mask[:, None] >> np.arange(SLOTS, dtype=np.uint8) & 1)
    return np.asarray(buckets[chosen].astype(np.int64) * SLOTS + place, np.int64)
