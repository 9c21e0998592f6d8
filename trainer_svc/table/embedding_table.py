"""A cuckoo table of embedding rows: two buckets of four slots for each key, no two keys on one row, none lost.

The trainer's copy has the identity directory and is changed in place; what changed is told to the delta tracker.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from martlet.errors import Corrupt, MartletError
from martlet.table_blobs import TableBase
from martlet.table_layout import SLOTS, empty_keys
from trainer_svc.delta_tracker import DeltaTracker
from trainer_svc.table import kernels
from trainer_svc.table.kernels import Columns

MAX_LOAD: Final = 0.95
ROW_SCALE: Final = 0.01

Int64s = npt.NDArray[np.int64]
Spaces = npt.NDArray[np.uint16]
Floats = npt.NDArray[np.float32]


class TableFull(MartletError):
    """No place was found for a key. The table is whole; `grow` makes room, and the call can be repeated."""


class EmbeddingTable:
    """Rows by key, optimizer state beside them. Not thread-safe; reading while nothing writes is.

    The same calls give the same bits. Arrays are exchanged by `grow` and `restore`: do not keep them across these.

    Args:
        name: the table's name in a version.
        width: columns of a row.
        buckets: logical buckets.
        specials: rows outside the buckets: the zero row (0), then a default row for each id feature.

    Attributes:
        size: keys held.
        collisions: times a key was met that belongs to another key space.
        tracker: which buckets changed.
    """

    def __init__(self, name: str, width: int, buckets: int, specials: int) -> None:
        if width < 1 or specials < 1:
            raise ValueError(f"table {name} needs a column and the zero row, not {width} and {specials}")
        self.name = name
        self.width = width
        self.specials = specials
        self.collisions = 0
        self.size = 0
        self.tracker = DeltaTracker(buckets)
        self._columns = _empty(buckets, width, specials)
        self._groups = np.zeros(self._columns.rows.shape[0], np.int32)
        self._sums = np.empty((0, width), np.float32)

    @property
    def buckets(self) -> int:
        """Logical buckets, n."""
        return int(self._columns.keys.shape[0])

    @property
    def slots(self) -> int:
        """Slots, n * 4; also the row of the first special."""
        return self.buckets * SLOTS

    @property
    def keys(self) -> Int64s:
        """int64[n, 4]; an empty slot holds its bucket's mark (see `martlet.table_layout.empty_keys`)."""
        return self._columns.keys

    @property
    def rows(self) -> Floats:
        """float32[n * 4 + specials, width]; special i is row n * 4 + i."""
        return self._columns.rows

    @property
    def accumulators(self) -> Floats:
        """float32[n * 4 + specials], row-wise AdaGrad's."""
        return self._columns.accumulators

    @property
    def spaces(self) -> Spaces:
        """uint16[n, 4], the key space of each slot."""
        return self._columns.spaces

    @property
    def last_used(self) -> Int64s:
        """int64[n, 4], event time in seconds."""
        return self._columns.last_used

    def find(self, keys: Int64s) -> Int64s:
        """The row of each key, or -1: int64[N]. Changes nothing."""
        found = np.empty(keys.shape[0], np.int64)
        kernels.find(self.keys, np.ascontiguousarray(keys, np.int64), found)
        return found

    def upsert(self, keys: Int64s, spaces: Spaces, specials: Int64s, now_s: int) -> Int64s:
        """The row of each key, int64[N]; an absent key gets one, which begins as its default row with a little noise.

        A key that another space holds already keeps its default row here, and is counted.

        Raises:
            TableFull: grow and call again; keys inserted so far are whole and will be found.
            ValueError: a special that the table does not have, or arrays of different lengths.
        """
        if not keys.shape == spaces.shape == specials.shape:
            raise ValueError(f"keys {keys.shape}, spaces {spaces.shape} and specials {specials.shape} differ in length")
        _check_range("special", specials, self.specials)
        keys, spaces = np.ascontiguousarray(keys, np.int64), np.ascontiguousarray(spaces, np.uint16)
        specials = np.ascontiguousarray(specials, np.int64)
        self.size, whole = kernels.insert(
            self._columns, self.tracker.flags, self.size, int(self.slots * MAX_LOAD), keys, spaces, specials, now_s,
            ROW_SCALE,
        )  # fmt: skip
        if not whole:
            raise TableFull(f"table {self.name} found no place ({self.size} of {self.slots} slots are taken)")
        found = self.find(keys)  # only now: an insertion may move what an earlier one placed
        foreign = self.spaces.reshape(-1)[found] != spaces
        self.collisions += int(np.count_nonzero(foreign))
        return np.where(foreign, self.slots + specials, found)

    def gather(self, rows: Int64s) -> Floats:
        """A copy of rows: float32[N, width].

        Raises:
            ValueError: a row that the table does not have, such as `find`'s -1.
        """
        _check_range("row", rows, self.rows.shape[0])
        out = np.empty((rows.shape[0], self.width), np.float32)
        kernels.gather(self.rows, np.ascontiguousarray(rows, np.int64), out)
        return out

    def row_wise_adagrad(self, rows: Int64s, gradients: Floats, rate: float, epsilon: float, l2: float = 0.0) -> None:
        """One step on the given rows; gradients of a repeated row are summed first. The zero row never changes.

        Raises:
            ValueError: a row that the table does not have, or gradients of another shape.
        """
        if gradients.shape != (rows.shape[0], self.width):
            raise ValueError(f"gradients of {rows.shape[0]} rows of {self.width} are {gradients.shape}")
        _check_range("row", rows, self.rows.shape[0])
        if self._sums.shape[0] < rows.shape[0]:
            self._sums = np.empty((rows.shape[0], self.width), np.float32)
        rows, gradients = np.ascontiguousarray(rows, np.int64), np.ascontiguousarray(gradients, np.float32)
        members = np.empty(rows.shape[0], np.int64)
        count = kernels.sum_by_row(rows, gradients, self._groups, members, self._sums)
        kernels.adagrad(self._columns, self.tracker.flags, members[:count], self._sums, rate, epsilon, l2)

    def evict(self, space: int, before_s: int) -> int:
        """Frees the slots of a space that were last used before a time; returns how many. Scans the table."""
        held = self.keys != self._columns.marks[:, None]
        bucket, place = np.nonzero(held & (self.spaces == space) & (self.last_used < before_s))
        self._clear(bucket, place)
        return int(bucket.shape[0])

    def grow(self) -> None:
        """Twice the buckets. Deterministic; every bucket counts as changed. The old table stands until the new does."""
        old = self._columns
        held = np.flatnonzero(old.keys != old.marks[:, None])
        buckets = 2 * self.buckets
        while (grown := self._rebuilt(buckets, held)) is None:
            buckets *= 2
        grown.rows[-self.specials :] = old.rows[-self.specials :]
        grown.accumulators[-self.specials :] = old.accumulators[-self.specials :]
        self._take_over(grown)
        self.tracker.resize(buckets)

    def base(self) -> TableBase:
        """A copy of the whole table, as a version's base."""
        return TableBase(self.keys.copy(), self._by_bucket().copy(), self.rows[self.slots :].copy())

    def changed(self, buckets: npt.NDArray[np.int32]) -> tuple[Int64s, Floats, Floats]:
        """Copies of the given buckets' keys and rows, and of the special rows."""
        return self.keys[buckets], self._by_bucket()[buckets], self.rows[self.slots :].copy()

    def state(self) -> dict[str, npt.NDArray[np.generic]]:
        """Everything, as arrays (not copies)."""
        return {
            "keys": self.keys,
            "rows": self.rows,
            "accumulators": self.accumulators,
            "spaces": self.spaces,
            "last_used": self.last_used,
            "counts": np.array([self.size, self.collisions], np.int64),
            **self.tracker.state(),
        }

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Takes a state over, bit for bit (copies). Its number of buckets becomes the table's.

        Raises:
            Corrupt: not a state of a table of this width and number of specials. The table stays as it was.
        """
        odd = sorted(state.keys() ^ self.state().keys())
        if odd:
            raise Corrupt(f"not a state of table {self.name}: {', '.join(odd)} stand in one only")
        buckets = state["keys"].shape[0]
        restored = _empty(buckets, self.width, self.specials)
        expected = {**restored._asdict(), **DeltaTracker(buckets).state(), "counts": np.zeros(2, np.int64)}
        for name, array in state.items():
            want = expected[name]
            if array.dtype != want.dtype or array.shape != want.shape:
                found, wanted = (f"{a.dtype}{list(a.shape)}" for a in (array, want))
                raise Corrupt(f"{name} of table {self.name} is {found}, not {wanted}")
        for name in set(Columns._fields) - {"marks"}:
            np.copyto(getattr(restored, name), state[name])
        self._take_over(restored)
        self.tracker.restore(state)
        self.size, self.collisions = (int(count) for count in np.asarray(state["counts"], np.int64))

    def _by_bucket(self) -> Floats:
        return self.rows[: self.slots].reshape(self.buckets, SLOTS, self.width)

    def _take_over(self, columns: Columns) -> None:
        self._columns = columns
        self._groups = np.zeros(columns.rows.shape[0], np.int32)

    def _rebuilt(self, buckets: int, held: Int64s) -> Columns | None:
        """What is held in so many buckets, or None when a key finds no place there."""
        old, new = self._columns, _empty(buckets, self.width, self.specials)
        keys, spaces = old.keys.reshape(-1)[held], old.spaces.reshape(-1)[held]
        flags = np.zeros(buckets, np.uint8)
        zero_row = np.zeros(held.shape[0], np.int64)
        _, whole = kernels.insert(new, flags, 0, buckets * SLOTS, keys, spaces, zero_row, 0, 0.0)
        if not whole:
            return None
        found = np.empty(held.shape[0], np.int64)
        kernels.find(new.keys, keys, found)
        new.rows[found] = old.rows[held]
        new.accumulators[found] = old.accumulators[held]
        new.last_used.reshape(-1)[found] = old.last_used.reshape(-1)[held]
        return new

    def _clear(self, bucket: Int64s, place: Int64s) -> None:
        self.keys[bucket, place] = self._columns.marks[bucket]
        self.spaces[bucket, place] = 0
        self.last_used[bucket, place] = 0
        self.rows[bucket * SLOTS + place] = 0.0
        self.accumulators[bucket * SLOTS + place] = 0.0
        self.size -= int(bucket.shape[0])
        self.tracker.touch(bucket)


def _empty(buckets: int, width: int, specials: int) -> Columns:
    marks = empty_keys(buckets)
    rows = buckets * SLOTS + specials
    return Columns(
        keys=np.repeat(marks[:, None], SLOTS, axis=1),
        marks=marks,
        rows=np.zeros((rows, width), np.float32),
        accumulators=np.zeros(rows, np.float32),
        spaces=np.zeros((buckets, SLOTS), np.uint16),
        last_used=np.zeros((buckets, SLOTS), np.int64),
    )


def _check_range(what: str, numbers: Int64s, end: int) -> None:
    """The compiled loops do not check indices: one outside would corrupt memory."""
    if numbers.shape[0] and not 0 <= int(numbers.min()) <= int(numbers.max()) < end:
        raise ValueError(f"{what} numbers {int(numbers.min())} to {int(numbers.max())} are not all in 0 to {end - 1}")
