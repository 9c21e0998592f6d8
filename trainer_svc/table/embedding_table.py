"""A cuckoo table of embedding rows: two buckets of four slots for each key, no two keys on one row, none lost.

The trainer's copy has the identity directory and is changed in place; what changed is told to the delta tracker.
"""

from collections.abc import Mapping
from concurrent.futures import Executor
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from martlet.errors import MartletError
from martlet.table_blobs import TableBase
from martlet.table_layout import SLOTS
from trainer_svc.delta_tracker import DeltaTracker, Touched
from trainer_svc.table import placement, reading
from trainer_svc.table.columns import Columns, RowType, empty_columns
from trainer_svc.table.cut import TableCut, slots_of
from trainer_svc.table.eviction import evict_least_recent, evict_unused, remove
from trainer_svc.table.growth import (
    GROW_LOAD,
    MAX_LOAD,
    Growth,
    copy_of,
    growth_state,
    next_size,
    restored_growth,
    steps_for,
)
from trainer_svc.table.memory import copy_into
from trainer_svc.table.row_sums import RowSums
from trainer_svc.table.statistics import (
    COLLISIONS,
    COLUMNS,
    DEFAULTED,
    REFUSED,
    ROWS,
    TableStatistics,
    count_occurrences,
    statistics_of,
    with_space,
)
from trainer_svc.table.table_state import TableShape, check_state

ROW_SCALE: Final = 0.01
_LAST_SECOND: Final = (1 << 32) - 1
_ROOM_MADE: Final = 20  # where there may be no more rows, a twentieth goes at a time

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


class EmbeddingTable:
    """Rows by key, optimizer state beside them. Not thread-safe; reading while nothing writes is.

    The same calls give the same bits, with a helper or without. Arrays are exchanged by `end_step`, `grow` and
    `restore`: do not keep them across these.

    Args:
        name: the table's name in a version.
        width: columns of a row.
        buckets: logical buckets (see `trainer_svc.table.growth.buckets_for`).
        specials: rows outside the buckets: the zero row (0), then a default row for each id feature.
        optimizer_columns: float32 numbers of optimizer state beside each row.
        dtype: what rows are stored as. They are computed with as float32.
        helper: fills a larger table while this one is in use; None: that is waited for.

    Attributes:
        size: keys held.
        grown: times a larger table was taken over.
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
        helper: Executor | None = None,
    ) -> None:
        if width < 1 or specials < 1 or optimizer_columns < 0:
            raise ValueError(
                f"table {name} needs a column, the zero row and 0 or more of optimizer state,"
                f" not {width}, {specials} and {optimizer_columns}"
            )
        self._shape = TableShape(name, width, specials, optimizer_columns, dtype)
        self.name, self.width, self.specials, self.dtype = name, width, specials, dtype
        self.size = 0
        self.grown = 0
        self.tracker = DeltaTracker(buckets)
        self._helper = helper
        self._growth: Growth | None = None
        self._columns = self._empty(buckets)
        self._counters = np.zeros((1, COLUMNS), np.int64)
        self._sums = RowSums(width)

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

    @property
    def memory(self) -> int:
        """Bytes of its arrays."""
        return sum(column.nbytes for column in self._columns)

    @property
    def statistics(self) -> TableStatistics:
        """What was counted, as values."""
        return TableStatistics(self.size, self.slots, self.grown, statistics_of(self._counters))

    def find(self, keys: Int64s) -> Int64s:
        """The row of each key, or -1: int64[N]. Changes nothing."""
        found = np.empty(keys.shape[0], np.int64)
        reading.find(self.keys, np.ascontiguousarray(keys, np.int64), found)
        return found

    def upsert(
        self, keys: Int64s, spaces: Spaces, specials: Int64s, now_s: int, *, found: Int64s | None = None
    ) -> Int64s:
        """The row of each key, int64[N]; an absent key gets one, which begins as its default row with a little noise.

        A key that another space holds already keeps its default row here, and is counted. `found` is what `find` said
        of the keys since the last change, if that is known: it saves finding them again.

        Raises:
            TableFull: grow and call again; keys inserted so far are whole and will be found.
            ValueError: a special that the table does not have, or arrays of different lengths.
        """
        if not keys.shape == spaces.shape == specials.shape:
            raise ValueError(f"keys {keys.shape}, spaces {spaces.shape} and specials {specials.shape} differ in length")
        _check_range("special", specials, self.specials)
        keys, spaces = np.ascontiguousarray(keys, np.int64), np.ascontiguousarray(spaces, np.uint16)
        specials = np.ascontiguousarray(specials, np.int64)
        found = self.find(keys) if found is None else np.array(found, np.int64)
        self._count_from(spaces)
        if self._insert(keys, spaces, specials, found, _second(now_s)):
            found = self.find(keys)  # an insertion moved what others had found, or placed
        foreign = self.spaces.reshape(-1)[found] != spaces
        if not foreign.any():
            return found
        count_occurrences(self._counters, spaces[foreign], (COLLISIONS, DEFAULTED))
        return np.where(foreign, self.slots + specials, found)

    def refuse(self, spaces: Spaces) -> None:
        """Counts occurrences of ids that may not have a row yet."""
        self._count_from(spaces)
        count_occurrences(self._counters, spaces, (REFUSED, DEFAULTED))

    def gather(self, rows: Int64s, out: Floats | None = None) -> Floats:
        """A copy of rows: float32[N, width], in `out` if it is given.

        Raises:
            ValueError: a row that the table does not have, such as `find`'s -1.
        """
        _check_range("row", rows, self.slots + self.specials)
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
        _check_range("row", rows, self.slots + self.specials)
        apply(self._columns, self.tracker, *self._sums(rows, gradients))

    def evict(self, space: int, before_s: int) -> int:
        """Frees the slots of a space that were last used before a time; returns how many. Scans the table."""
        self._counters = with_space(self._counters, space)
        cleared = evict_unused(self._columns, self.tracker, self._counters, space, _second(before_s))
        self.size -= cleared
        return cleared

    def remove(self, keys: Int64s, space: int) -> int:
        """Frees the slots of keys of a space; returns how many were held. Absent keys, and other spaces', stay out."""
        found = np.unique(self.find(keys))
        found = found[found >= 0]
        found = found[self.spaces.reshape(-1)[found] == space]
        self._counters = with_space(self._counters, space)
        remove(self._columns, self.tracker, self._counters, space, found)
        self.size -= int(found.shape[0])
        return int(found.shape[0])

    def limit(self, space: int, rows: int) -> int:
        """Where a space holds more rows than it may, the least recently used go; returns how many.

        A twentieth more than needed goes at once, since that scans the table. Of rows used in the same second those in
        the first slots go.
        """
        self._counters = with_space(self._counters, space)
        held = int(self._counters[space, ROWS])
        if held <= rows:
            return 0
        cleared = evict_least_recent(
            self._columns, self.tracker, self._counters, space, held - rows + rows // _ROOM_MADE
        )
        self.size -= cleared
        return cleared

    def end_step(self) -> bool:
        """To be called after each batch: begins to grow when nearly full, or takes the larger table over in time.

        Returns whether it was taken over: buckets and rows are others now, and every bucket counts as changed.
        """
        if self._growth is None:
            if self.size > self.slots * GROW_LOAD:
                self._begin_growth()
            return False
        self._growth.steps_left -= 1
        if self._growth.steps_left > 0:
            return False
        self.grow()
        return True

    def grow(self) -> None:
        """Takes a larger table over now, begun earlier or not. The old one stands until the new one does."""
        growth = self._growth or self._begin_growth()
        larger = growth.finish(self._columns, self.tracker)
        buckets = growth.larger.keys.shape[0]
        while larger is None:  # rare: what came meanwhile is too much, or crowds a tiny table
            buckets = next_size(buckets)
            growth = self._begin_growth(buckets)
            larger = growth.finish(self._columns, self.tracker)
        larger.rows[-self.specials :] = self._columns.rows[-self.specials :]
        larger.optimizer[-self.specials :] = self._columns.optimizer[-self.specials :]
        self._columns, self._growth = larger, None
        self.tracker.resize(buckets)
        self.grown += 1

    def base(self) -> TableBase:
        """A copy of the whole table, as a version's base; rows as they are stored."""
        return TableBase(self.keys.copy(), self._by_bucket().copy(), self.rows[self.slots :].copy())

    def changed(self, touched: Touched) -> TableCut:
        """Copies of what changed, and of the special rows."""
        return TableCut(
            buckets=touched.buckets,
            row_mask=touched.rows,
            key_mask=touched.keys,
            keys=self.keys.reshape(-1)[slots_of(touched.buckets, touched.keys)],
            rows=self.gather(slots_of(touched.buckets, touched.rows)),
            special=self.rows[self.slots :].astype(np.float32),
        )

    def state(self) -> dict[str, npt.NDArray[np.generic]]:
        """Everything, as arrays (not copies)."""
        return {
            **self._state_of(self._columns),
            "counts": np.array([self.size, self.grown], np.int64),
            "counters": self._counters,
            **self.tracker.state(),
            **growth_state(self._growth, self.tracker),
        }

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Takes a state over, bit for bit (copies). Its number of buckets becomes the table's.

        Raises:
            Corrupt: not a state of a table of this shape. The table stays as it was.
        """
        check_state(self._shape, state)
        restored = self._empty(state["keys"].shape[0])
        for name, array in self._state_of(restored).items():
            copy_into(array, state[name])
        self._columns = restored
        self._counters = np.array(state["counters"], np.int64)
        self.size, self.grown = (int(count) for count in np.asarray(state["counts"], np.int64))
        self.tracker.restore(state)
        self._growth = None
        larger = int(np.asarray(state["growth"], np.int64)[0])
        if larger:
            self._growth = restored_growth(state, self.keys, self._empty(larger), self.tracker)
            self._growth.fill(self._columns, self._helper)

    def _insert(self, keys: Int64s, spaces: Spaces, specials: Int64s, found: Int64s, now_s: int) -> bool:
        """Fills `found` with the slots of all keys; says whether any was displaced, which makes it stale."""
        tracker, limit = self.tracker, int(self.slots * MAX_LOAD)
        self.size, whole, displaced = placement.insert(
            self._columns, tracker.marks, tracker.unsaved, self._counters, self.size, limit, keys, spaces, specials,
            found, now_s, ROW_SCALE,
        )  # fmt: skip
        if not whole:
            raise TableFull(f"table {self.name} found no place ({self.size} of {self.slots} slots are taken)")
        return bool(displaced)

    def _count_from(self, spaces: Spaces) -> None:
        if spaces.shape[0]:
            self._counters = with_space(self._counters, int(spaces.max()))

    def _begin_growth(self, buckets: int = 0) -> Growth:
        self.tracker.growth_began()
        larger = self._empty(buckets or next_size(self.buckets))
        growth = self._growth = Growth(copy_of(self.keys), larger, steps_for(self.size))
        growth.fill(self._columns, self._helper)
        return growth

    def _empty(self, buckets: int) -> Columns:
        shape = self._shape
        return empty_columns(buckets, shape.width, shape.specials, shape.optimizer_columns, shape.dtype)

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


def _second(second: int) -> int:
    return min(max(second, 0), _LAST_SECOND)


def _check_range(what: str, numbers: Int64s, end: int) -> None:
    """The compiled loops do not check indices: one outside would corrupt memory."""
    if numbers.shape[0] and not 0 <= int(numbers.min()) <= int(numbers.max()) < end:
        raise ValueError(f"{what} numbers {int(numbers.min())} to {int(numbers.max())} are not all in 0 to {end - 1}")
