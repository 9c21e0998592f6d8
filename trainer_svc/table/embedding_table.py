"""A cuckoo table of embedding rows: two buckets of four slots for each key, no two keys on one row, none lost.

The trainer's copy has the identity directory and is changed in place; what changed is told to the delta tracker.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from martlet.errors import MartletError
from martlet.table_blobs import TableBase
from martlet.table_layout import SLOTS, empty_keys
from trainer_svc.delta_tracker import DeltaTracker
from trainer_svc.table import kernels

MAX_LOAD: Final = 0.95
ROW_SCALE: Final = 0.01

Int64s = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


class TableFull(MartletError):
    """No place was found for a key. The table is whole; `grow` makes room, and the call can be repeated."""


class EmbeddingTable:
    """Rows by key, optimizer state beside them. Not thread-safe; reading while nothing writes is.

    Args:
        name: the table's name in a version.
        width: columns of a row.
        buckets: logical buckets.
        specials: rows outside the buckets: the zero row (0), then a default row for each id feature.

    Attributes:
        keys: int64[n, 4].
        rows: float32[n * 4 + specials, width]; special i is row n * 4 + i.
        spaces: uint16[n, 4], the key space of each slot.
        accumulators: float32[n * 4 + specials].
        last_used: int64[n, 4], event time in seconds.
        size: keys held.
        collisions: times a key was met that belongs to another key space.
        tracker: which buckets changed.
    """

    def __init__(self, name: str, width: int, buckets: int, specials: int) -> None:
        self.name = name
        self.width = width
        self.specials = specials
        self.collisions = 0
        self.size = 0
        self.keys: Int64s
        self.rows: Floats
        self.accumulators: Floats
        self.spaces: npt.NDArray[np.uint16]
        self.last_used: Int64s
        self._allot(buckets)
        self.tracker = DeltaTracker(buckets)

    @property
    def buckets(self) -> int:
        """Logical buckets, n."""
        return int(self.keys.shape[0])

    @property
    def slots(self) -> int:
        """Slots, n * 4; also the row of the first special."""
        return self.buckets * SLOTS

    def find(self, keys: Int64s) -> Int64s:
        """The row of each key, or -1: int64[N]."""
        found = np.empty(keys.shape[0], np.int64)
        kernels.find(self.keys, keys, found)
        return found

    def upsert(self, keys: Int64s, spaces: npt.NDArray[np.uint16], specials: Int64s, now_s: int) -> Int64s:
        """The row of each key, int64[N]; an absent key gets one, which begins as its default row with a little noise.

        A key that another space holds already keeps its default row here, and is counted.

        Raises:
            TableFull: grow and call again; keys inserted so far are whole and will be found.
        """
        limit = int(self.slots * MAX_LOAD)
        self.size, whole = kernels.insert(
            keys, spaces, specials, now_s, ROW_SCALE, limit, self.size, self.keys, self._marks, self.rows,
            self.accumulators, self.spaces, self.last_used, self.tracker.flags,
        )  # fmt: skip
        if not whole:
            raise TableFull(f"table {self.name} found no place ({self.size} of {self.slots} slots are taken)")
        found = self.find(keys)  # only now: an insertion may move what an earlier one placed
        foreign = self.spaces.reshape(-1)[found] != spaces
        self.collisions += int(foreign.sum())
        return np.where(foreign, self.slots + specials, found)

    def gather(self, rows: Int64s) -> Floats:
        """A copy of rows: float32[N, width]."""
        return self.rows[rows]

    def row_wise_adagrad(self, rows: Int64s, gradients: Floats, rate: float, epsilon: float, l2: float = 0.0) -> None:
        """One step on the given rows; gradients of a repeated row are summed first. The zero row never changes."""
        order = np.argsort(rows, kind="stable")
        kernels.adagrad(
            order, rows, gradients, rate, epsilon, l2, self.slots, self.slots, self.rows, self.accumulators,
            self.tracker.flags,
        )  # fmt: skip

    def evict(self, space: int, before_s: int) -> int:
        """Frees the slots of a space that were last used before a time; returns how many."""
        held = self.keys != self._marks[:, None]
        gone = held & (self.spaces == space) & (self.last_used < before_s)
        bucket, place = np.nonzero(gone)
        self._clear(bucket, place)
        return int(bucket.shape[0])

    def grow(self) -> None:
        """Twice the buckets. Deterministic; every bucket counts as changed."""
        old_keys, old_marks, old_rows = self.keys, self._marks, self.rows
        old = (self.accumulators, self.spaces, self.last_used)
        held = np.flatnonzero(old_keys.reshape(-1) != np.repeat(old_marks, SLOTS))
        specials = (old_rows[-self.specials :].copy(), old[0][-self.specials :].copy())
        buckets = 2 * self.buckets
        while not self._rebuild(buckets, old_keys, old_rows, old, held):
            buckets *= 2
        self.rows[-self.specials :], self.accumulators[-self.specials :] = specials
        self.tracker.resize(self.buckets)

    def base(self) -> TableBase:
        """A copy of the whole table, as a version's base."""
        rows = self.rows[: self.slots].reshape(self.buckets, SLOTS, self.width)
        return TableBase(self.keys.copy(), rows.copy(), self.rows[self.slots :].copy())

    def changed(self, buckets: npt.NDArray[np.int32]) -> tuple[Int64s, Floats, Floats]:
        """Copies of the given buckets' keys and rows, and of the special rows."""
        rows = self.rows[: self.slots].reshape(self.buckets, SLOTS, self.width)
        return self.keys[buckets], rows[buckets], self.rows[self.slots :].copy()

    def state(self) -> dict[str, npt.NDArray[np.generic]]:
        """Everything, as arrays (not copies)."""
        return {
            "keys": self.keys,
            "rows": self.rows,
            "accumulators": self.accumulators,
            "spaces": self.spaces,
            "last_used": self.last_used,
            "flags": self.tracker.flags,
            "counts": np.array([self.size, self.collisions], np.int64),
        }

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Takes a state over, bit for bit (copies)."""
        arrays = {name: np.array(array) for name, array in state.items()}
        self._allot(arrays["keys"].shape[0])
        self.keys = arrays["keys"].astype(np.int64, copy=False)
        self.rows = arrays["rows"].astype(np.float32, copy=False)
        self.accumulators = arrays["accumulators"].astype(np.float32, copy=False)
        self.spaces = arrays["spaces"].astype(np.uint16, copy=False)
        self.last_used = arrays["last_used"].astype(np.int64, copy=False)
        self.tracker.flags = arrays["flags"].astype(np.uint8, copy=False)
        self.size, self.collisions = (int(count) for count in arrays["counts"])

    def _allot(self, buckets: int) -> None:
        self._marks = empty_keys(buckets)
        self.keys = np.repeat(self._marks[:, None], SLOTS, axis=1)
        self.rows = np.zeros((buckets * SLOTS + self.specials, self.width), np.float32)
        self.accumulators = np.zeros(buckets * SLOTS + self.specials, np.float32)
        self.spaces = np.zeros((buckets, SLOTS), np.uint16)
        self.last_used = np.zeros((buckets, SLOTS), np.int64)
        self.size = 0

    def _rebuild(
        self,
        buckets: int,
        old_keys: Int64s,
        old_rows: Floats,
        old: tuple[Floats, npt.NDArray[np.uint16], Int64s],
        held: Int64s,
    ) -> bool:
        self._allot(buckets)
        keys = old_keys.reshape(-1)[held]
        spaces, last_used = old[1].reshape(-1)[held], old[2].reshape(-1)[held]
        flags = np.zeros(buckets, np.uint8)
        self.size, whole = kernels.insert(
            keys, spaces, np.zeros(held.shape[0], np.int64), 0, 0.0, self.slots, 0, self.keys, self._marks, self.rows,
            self.accumulators, self.spaces, self.last_used, flags,
        )  # fmt: skip
        if not whole:
            return False
        found = self.find(keys)
        self.rows[found] = old_rows[held]
        self.accumulators[found] = old[0][held]
        self.last_used.reshape(-1)[found] = last_used
        return True

    def _clear(self, bucket: Int64s, place: Int64s) -> None:
        self.keys[bucket, place] = self._marks[bucket]
        self.spaces[bucket, place] = 0
        self.last_used[bucket, place] = 0
        self.rows[bucket * SLOTS + place] = 0.0
        self.accumulators[bucket * SLOTS + place] = 0.0
        self.size -= int(bucket.shape[0])
        self.tracker.touch(bucket)
