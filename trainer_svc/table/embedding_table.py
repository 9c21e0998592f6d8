"""A cuckoo table of embedding rows: two buckets of four slots for each key, no two keys on one row, none lost.

The trainer's copy has the identity directory and is changed in place; what changed is told to the delta tracker.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from martlet.errors import Corrupt, MartletError
from martlet.table_blobs import TableBase
from martlet.table_layout import SLOTS
from trainer_svc.delta_tracker import DeltaTracker, Touched
from trainer_svc.table import placement, reading
from trainer_svc.table.columns import Columns, RowType, empty_columns

MAX_LOAD: Final = 0.95
ROW_SCALE: Final = 0.01
_LAST_SECOND: Final = (1 << 32) - 1

Int64s = npt.NDArray[np.int64]
Spaces = npt.NDArray[np.uint16]
Floats = npt.NDArray[np.float32]


class TableFull(MartletError):
    """No place was found for a key. The table is whole; `grow` makes room, and the call can be repeated."""


class RowRule(Protocol):
    """What an optimizer does to the rows that a batch touched."""

    def __call__(self, columns: Columns, tracker: DeltaTracker, members: Int64s, sums: Floats) -> None:
        """Changes distinct rows, `members` int64[m] as they first appeared, by their `sums` float32[m, width].

        It marks what it changes, and may overwrite `sums`. The zero row may be among the members, and stays.
        """
        ...


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
    keys: Int64s
    rows: Floats
    special: Floats


class EmbeddingTable:
    """Rows by key, optimizer state beside them. Not thread-safe; reading while nothing writes is.

    The same calls give the same bits. Arrays are exchanged by `grow` and `restore`: do not keep them across these.

    Args:
        name: the table's name in a version.
        width: columns of a row.
        buckets: logical buckets.
        specials: rows outside the buckets: the zero row (0), then a default row for each id feature.
        optimizer_columns: float32 numbers of optimizer state beside each row.
        dtype: what rows are stored as. They are computed with as float32.

    Attributes:
        size: keys held.
        collisions: times a key was met that belongs to another key space.
        tracker: which slots changed.
    """

    def __init__(
        self,
        name: str,
        width: int,
        buckets: int,
        specials: int,
        *,
        optimizer_columns: int = 1,
        dtype: RowType = "float32",
    ) -> None:
        if width < 1 or specials < 1 or optimizer_columns < 0:
            raise ValueError(
                f"table {name} needs a column, the zero row and 0 or more of optimizer state,"
                f" not {width}, {specials} and {optimizer_columns}"
            )
        self.name = name
        self.width = width
        self.specials = specials
        self.optimizer_columns = optimizer_columns
        self.dtype = dtype
        self.collisions = 0
        self.size = 0
        self.tracker = DeltaTracker(buckets)
        self._columns = self._empty(buckets)
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
        """int64[n, 4]; an empty slot holds its bucket's empty key (see `martlet.table_layout.empty_keys`)."""
        return self._columns.keys

    @property
    def rows(self) -> npt.NDArray[Any]:
        """`dtype`[n * 4 + specials, width]; special i is row n * 4 + i."""
        return self._columns.rows.view(self.dtype)

    @property
    def optimizer(self) -> Floats:
        """float32[n * 4 + specials, optimizer columns]."""
        return self._columns.optimizer

    @property
    def spaces(self) -> Spaces:
        """uint16[n, 4], the key space of each slot."""
        return self._columns.spaces

    @property
    def last_used(self) -> npt.NDArray[np.uint32]:
        """uint32[n, 4], event time in seconds."""
        return self._columns.last_used

    def find(self, keys: Int64s) -> Int64s:
        """The row of each key, or -1: int64[N]. Changes nothing."""
        found = np.empty(keys.shape[0], np.int64)
        reading.find(self.keys, np.ascontiguousarray(keys, np.int64), found)
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
        tracker, limit = self.tracker, int(self.slots * MAX_LOAD)
        self.size, whole = placement.insert(
            self._columns, tracker.marks, tracker.unsaved, self.size, limit, keys, spaces, specials,
            _second(now_s), ROW_SCALE,
        )  # fmt: skip
        if not whole:
            raise TableFull(f"table {self.name} found no place ({self.size} of {self.slots} slots are taken)")
        found = self.find(keys)  # only now: an insertion may move what an earlier one placed
        foreign = self.spaces.reshape(-1)[found] != spaces
        self.collisions += int(np.count_nonzero(foreign))
        return np.where(foreign, self.slots + specials, found)

    def gather(self, rows: Int64s, out: Floats | None = None) -> Floats:
        """A copy of rows: float32[N, width], in `out` if it is given.

        Raises:
            ValueError: a row that the table does not have, such as `find`'s -1.
        """
        _check_range("row", rows, self.rows.shape[0])
        out = np.empty((rows.shape[0], self.width), np.float32) if out is None else out
        if out.shape != (rows.shape[0], self.width) or out.dtype != np.float32:
            raise ValueError(f"{rows.shape[0]} rows of {self.width} do not go into {out.dtype}{list(out.shape)}")
        reading.gather(self._columns.rows, np.ascontiguousarray(rows, np.int64), out)
        return out

    def update(self, rows: Int64s, gradients: Floats, apply: RowRule) -> None:
        """One step on the given rows; gradients of a repeated row are summed first, in their order.

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
        count = reading.sum_by_row(rows, gradients, self._groups, members, self._sums)
        apply(self._columns, self.tracker, members[:count], self._sums[:count])

    def evict(self, space: int, before_s: int) -> int:
        """Frees the slots of a space that were last used before a time; returns how many. Scans the table."""
        tracker = self.tracker
        cleared = placement.evict(self._columns, tracker.marks, tracker.unsaved, space, _second(before_s))
        self.size -= cleared
        return cleared

    def grow(self) -> None:
        """Twice the buckets. Deterministic; every bucket counts as changed. The old table stands until the new does."""
        old = self._columns
        held = np.flatnonzero(placement.held(old.keys, old.empties))
        buckets = 2 * self.buckets
        while (grown := self._rebuilt(buckets, held)) is None:
            buckets *= 2
        grown.rows[-self.specials :] = old.rows[-self.specials :]
        grown.optimizer[-self.specials :] = old.optimizer[-self.specials :]
        self._take_over(grown)
        self.tracker.resize(buckets)

    def base(self) -> TableBase:
        """A copy of the whole table, as a version's base; rows as they are stored."""
        return TableBase(self.keys.copy(), self._by_bucket().copy(), self.rows[self.slots :].copy())

    def changed(self, touched: Touched) -> TableCut:
        """Copies of what changed, and of the special rows."""
        rows, keys = (_slots(touched.buckets, mask) for mask in (touched.rows, touched.keys))
        return TableCut(
            buckets=touched.buckets,
            row_mask=touched.rows,
            key_mask=touched.keys,
            keys=self.keys.reshape(-1)[keys],
            rows=self.gather(rows),
            special=self.rows[self.slots :].astype(np.float32),
        )

    def state(self) -> dict[str, npt.NDArray[np.generic]]:
        """Everything, as arrays (not copies)."""
        counts = np.array([self.size, self.collisions], np.int64)
        return {**self._state_of(self._columns), "counts": counts, **self.tracker.state()}

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Takes a state over, bit for bit (copies). Its number of buckets becomes the table's.

        Raises:
            Corrupt: not a state of a table of this width and number of specials. The table stays as it was.
        """
        odd = sorted(state.keys() ^ self.state().keys())
        if odd:
            raise Corrupt(f"not a state of table {self.name}: {', '.join(odd)} stand in one only")
        buckets = state["keys"].shape[0]
        restored = self._empty(buckets)
        expected = {**self._state_of(restored), **DeltaTracker(buckets).state(), "counts": np.zeros(2, np.int64)}
        for name, array in state.items():
            want = expected[name]
            if array.dtype != want.dtype or array.shape != want.shape:
                found, wanted = (f"{a.dtype}{list(a.shape)}" for a in (array, want))
                raise Corrupt(f"{name} of table {self.name} is {found}, not {wanted}")
        for name, array in self._state_of(restored).items():
            np.copyto(array, state[name])
        self._take_over(restored)
        self.tracker.restore(state)
        self.size, self.collisions = (int(count) for count in np.asarray(state["counts"], np.int64))

    def _empty(self, buckets: int) -> Columns:
        return empty_columns(buckets, self.width, self.specials, self.optimizer_columns, self.dtype)

    def _state_of(self, columns: Columns) -> dict[str, npt.NDArray[Any]]:
        return {
            "keys": columns.keys,
            "rows": columns.rows.view(self.dtype),
            "optimizer": columns.optimizer,
            "spaces": columns.spaces,
            "last_used": columns.last_used,
        }

    def _by_bucket(self) -> npt.NDArray[Any]:
        return self.rows[: self.slots].reshape(self.buckets, SLOTS, self.width)

    def _take_over(self, columns: Columns) -> None:
        self._columns = columns
        self._groups = np.zeros(columns.rows.shape[0], np.int32)

    def _rebuilt(self, buckets: int, held: Int64s) -> Columns | None:
        """What is held in so many buckets, or None when a key finds no place there."""
        old, new, tracker = self._columns, self._empty(buckets), DeltaTracker(buckets)
        keys, spaces = old.keys.reshape(-1)[held], old.spaces.reshape(-1)[held]
        zero_row = np.zeros(held.shape[0], np.int64)
        _, whole = placement.insert(
            new, tracker.marks, tracker.unsaved, 0, buckets * SLOTS, keys, spaces, zero_row, 0, 0.0
        )
        if not whole:
            return None
        found = np.empty(held.shape[0], np.int64)
        reading.find(new.keys, keys, found)
        new.rows[found] = old.rows[held]
        new.optimizer[found] = old.optimizer[held]
        new.last_used.reshape(-1)[found] = old.last_used.reshape(-1)[held]
        return new


def _second(second: int) -> int:
    return min(max(second, 0), _LAST_SECOND)


def _slots(buckets: npt.NDArray[np.int32], mask: npt.NDArray[np.uint8]) -> Int64s:
    """The slots that the mask of each bucket names, ascending."""
    chosen, place = np.nonzero(mask[:, None] >> np.arange(SLOTS, dtype=np.uint8) & 1)
    return np.asarray(buckets[chosen].astype(np.int64) * SLOTS + place, np.int64)


def _check_range(what: str, numbers: Int64s, end: int) -> None:
    """The compiled loops do not check indices: one outside would corrupt memory."""
    if numbers.shape[0] and not 0 <= int(numbers.min()) <= int(numbers.max()) < end:
        raise ValueError(f"{what} numbers {int(numbers.min())} to {int(numbers.max())} are not all in 0 to {end - 1}")
