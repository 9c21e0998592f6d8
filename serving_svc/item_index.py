"""The items on offer as matrices that one feature spec can score."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from martlet.errors import InvalidInput
from martlet.feature_encoding import ItemId, RankInput, Value, encode
from martlet.feature_spec import FeatureSpec

_FIRST_CAPACITY = 64


@dataclass(frozen=True, slots=True)
class ItemMatrix:
    """Items and their encoded values, row by row. Never changes.

    Attributes:
        row_of: the row of each item.
        item_ids: int64[n, item_id_columns]; item_numbers: float32[n, item_number_columns].
    """

    items: tuple[ItemId, ...]
    row_of: Mapping[ItemId, int]
    item_ids: npt.NDArray[np.int64]
    item_numbers: npt.NDArray[np.float32]


class ItemIndex:
    """Encodes an item when it changes, not when it is scored. Lives on one event loop.

    An item whose attributes are of the wrong kind for this spec is indexed by its id alone.
    """

    def __init__(self, spec: FeatureSpec, limit: int) -> None:
        self._spec = spec
        self._limit = limit
        self._slots: dict[ItemId, int] = {}
        self._free: list[int] = []
        self._ids = np.zeros((_FIRST_CAPACITY, spec.layout.item_id_columns), np.int64)
        self._numbers = np.zeros((_FIRST_CAPACITY, spec.layout.item_number_columns), np.float32)
        self._matrix: ItemMatrix | None = None

    def put(self, item: ItemId, attributes: Mapping[str, Value]) -> None:
        """Adds or replaces an item; it counts as the newest."""
        slot = self._slots.pop(item, None)
        if slot is None:
            slot = self._take_slot()
        self._slots[item] = slot
        try:
            block = encode(self._spec, RankInput(None, {}, [item], [attributes]))
        except InvalidInput:
            block = encode(self._spec, RankInput(None, {}, [item], [{}]))
        self._ids[slot] = block.item_ids[0]
        self._numbers[slot] = block.item_numbers[0]
        self._matrix = None

    def remove(self, item: ItemId) -> None:
        """Takes an item out, if it is there."""
        slot = self._slots.pop(item, None)
        if slot is not None:
            self._free.append(slot)
            self._matrix = None

    def matrix(self) -> ItemMatrix:
        """The newest items, at most the limit. Copied only after a change."""
        if self._matrix is None:
            items = tuple(self._slots)[-self._limit :]
            slots = np.fromiter((self._slots[item] for item in items), np.int64, len(items))
            row_of = {item: row for row, item in enumerate(items)}
            self._matrix = ItemMatrix(items, row_of, self._ids[slots], self._numbers[slots])
        return self._matrix

    def _take_slot(self) -> int:
        if self._free:
            return self._free.pop()
        used = len(self._slots)
        if used == self._ids.shape[0]:
            self._ids = np.concatenate([self._ids, np.zeros_like(self._ids)])
            self._numbers = np.concatenate([self._numbers, np.zeros_like(self._numbers)])
        return used
