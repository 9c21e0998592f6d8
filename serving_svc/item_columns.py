"""Announced attributes as columns, one value for each slot of a model's items, so that a filter is a few array passes.

Ids are compared by their 64-bit values (see `martlet.keys`), numbers as float64. A whole number that was sent as an id
counts as a number too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

import numpy as np
import numpy.typing as npt

from martlet.feature_encoding import ItemId, Value, is_vector
from martlet.keys import id_value

MAX_COLUMNS: Final = 256
MAX_LISTED: Final = 64

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class ColumnView:
    """A column as it stood when the view was taken; values of single slots may change under a reader.

    Attributes:
        ids: int64[capacity, w]; counts: int32[capacity], how many of the w are filled; numbers: float64[capacity], NaN
            where there is none.
    """

    ids: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int32]
    numbers: npt.NDArray[np.float64]

    def at(self, slots: npt.NDArray[np.int64]) -> "ColumnView":
        """The values of some slots, copied."""
        return ColumnView(self.ids[slots], self.counts[slots], self.numbers[slots])


class AttributeColumn:
    """One attribute of all items. Grows by replacing its arrays, so a view stays whole."""

    def __init__(self, capacity: int) -> None:
        self._ids = np.zeros((capacity, 1), np.int64)
        self._counts = np.zeros(capacity, np.int32)
        self._numbers = np.full(capacity, np.nan)

    @property
    def view(self) -> ColumnView:
        """The column now."""
        return ColumnView(self._ids, self._counts, self._numbers)

    @property
    def nbytes(self) -> int:
        """Memory of its arrays."""
        return self._ids.nbytes + self._counts.nbytes + self._numbers.nbytes

    def put(self, slot: int, value: Value) -> None:
        """Sets a slot. Of a list, the first 64 ids are kept."""
        self.clear(slot)
        if isinstance(value, int | float):
            self._numbers[slot] = float(value)
        if isinstance(value, float) or is_vector(value):  # nothing is filtered by a vector
            return
        listed = [value] if isinstance(value, int | str) else cast("Sequence[ItemId]", value)[:MAX_LISTED]
        ids = [id_value(item) for item in listed]
        if len(ids) > self._ids.shape[1]:
            self._widen(len(ids))
        self._ids[slot, : len(ids)] = ids
        self._counts[slot] = len(ids)

    def clear(self, slot: int) -> None:
        """Empties a slot."""
        self._counts[slot] = 0
        self._numbers[slot] = np.nan

    def grow(self, capacity: int) -> None:
        """Makes room for more slots."""
        more = capacity - self._counts.shape[0]
        self._ids = np.concatenate([self._ids, np.zeros((more, self._ids.shape[1]), np.int64)])
        self._counts = np.concatenate([self._counts, np.zeros(more, np.int32)])
        self._numbers = np.concatenate([self._numbers, np.full(more, np.nan)])

    def _widen(self, width: int) -> None:
        wider = np.zeros((self._ids.shape[0], width), np.int64)
        wider[:, : self._ids.shape[1]] = self._ids
        self._ids = wider


class AttributeColumns:
    """All attributes of a model's items. An attribute gets its column when the first item has it; 256 of them do."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._columns: dict[str, AttributeColumn] = {}

    @property
    def nbytes(self) -> int:
        """Memory of all columns."""
        return sum(column.nbytes for column in self._columns.values())

    def put(self, slot: int, attributes: Mapping[str, Value]) -> None:
        """Sets what the item in this slot has; attributes that it had before and has no more are emptied."""
        for name, column in self._columns.items():
            if name not in attributes:
                column.clear(slot)
        for name, value in attributes.items():
            known = self._columns.get(name)
            if known is None:
                if len(self._columns) >= MAX_COLUMNS:
                    continue
                known = self._columns[name] = AttributeColumn(self._capacity)
            known.put(slot, value)

    def grow(self, capacity: int) -> None:
        """Makes room for more slots."""
        self._capacity = capacity
        for column in self._columns.values():
            column.grow(capacity)

    def views(self, names: frozenset[str]) -> dict[str, ColumnView]:
        """The columns of these attributes, where there are any."""
        return {name: self._columns[name].view for name in names if name in self._columns}
