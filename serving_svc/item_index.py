"""The items on offer as matrices that one feature spec can score."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from martlet.errors import InvalidInput
from martlet.feature_encoding import ItemId, RankInput, encode
from martlet.feature_spec import FeatureBlock, FeatureSpec
from serving_svc.item_shelf import ItemShelf

Ids = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.float32]

_AT_ONCE = 256

T = TypeVar("T", bound=np.generic)


@dataclass(frozen=True, slots=True)
class Offer:
    """Some items and their encoded values, row by row. Never changes.

    Attributes:
        slots: int64[n], where each stood on the shelf when this was made.
        item_ids: int64[n, item_id_columns]; item_numbers: float32[n, item_number_columns].
    """

    slots: Ids
    items: tuple[ItemId, ...]
    item_ids: Ids
    item_numbers: Numbers

    def rows(self, rows: Ids) -> "Offer":
        """Some of them, in this order, copied."""
        items = tuple(self.items[row] for row in rows.tolist())
        return Offer(self.slots[rows], items, self.item_ids[rows], self.item_numbers[rows])


class ItemIndex:
    """Encodes an item once after each change, when it is first asked for. Lives on one event loop.

    An item whose attributes are of the wrong kind for this spec is indexed by its id alone.
    """

    def __init__(self, spec: FeatureSpec, shelf: ItemShelf) -> None:
        self._spec = spec
        self._shelf = shelf
        self._encoded = np.zeros(shelf.capacity, np.bool_)
        self._ids = np.zeros((shelf.capacity, spec.layout.item_id_columns), np.int64)
        self._numbers = np.zeros((shelf.capacity, spec.layout.item_number_columns), np.float32)
        self._newest: tuple[int, Offer] | None = None

    @property
    def nbytes(self) -> int:
        """Memory of its arrays."""
        return self._encoded.nbytes + self._ids.nbytes + self._numbers.nbytes

    def forget(self, slot: int) -> None:
        """The slot's item is another, has other attributes, or is gone."""
        self._newest = None
        if slot < self._encoded.shape[0]:
            self._encoded[slot] = False

    def newest(self, limit: int) -> Offer:
        """The items put last, at most so many, the newest last. Made again only after a change."""
        if self._newest is None or self._newest[0] != limit:
            self._newest = limit, self.offer(self._shelf.newest(limit))
        return self._newest[1]

    def offer(self, slots: Ids) -> Offer:
        """The items in these slots, which must all be on offer."""
        return Offer(slots, self._shelf.items(slots), *self.values(slots))

    def values(self, slots: Ids) -> tuple[Ids, Numbers]:
        """int64[n, item_id_columns] and float32[n, item_number_columns] of the items in these slots, copied."""
        self.encode(slots)
        return self._ids[slots], self._numbers[slots]

    def encode(self, slots: Ids) -> bool:
        """Encodes those of these slots that need it; whether any did. Takes some microseconds for each."""
        self._fit()
        lacking = slots[~self._encoded[slots]]
        for start in range(0, lacking.shape[0], _AT_ONCE):
            self._encode(lacking[start : start + _AT_ONCE])
        return bool(lacking.shape[0])

    def _fit(self) -> None:
        more = self._shelf.capacity - self._encoded.shape[0]
        if more:
            self._encoded = _longer(self._encoded, more)
            self._ids = _longer(self._ids, more)
            self._numbers = _longer(self._numbers, more)

    def _encode(self, slots: Ids) -> None:
        items = self._shelf.items(slots)
        attributes = [self._shelf.attributes(slot) for slot in slots.tolist()]
        try:
            block = encode(self._spec, RankInput(None, {}, items, attributes))
            self._keep(slots, block)
        except InvalidInput:
            for place, item in enumerate(items):
                self._encode_one(slots[place : place + 1], [item])
        self._encoded[slots] = True

    def _encode_one(self, slot: Ids, item: Sequence[ItemId]) -> None:
        try:
            block = encode(self._spec, RankInput(None, {}, item, [self._shelf.attributes(int(slot[0]))]))
        except InvalidInput:
            block = encode(self._spec, RankInput(None, {}, item, [{}]))
        self._keep(slot, block)

    def _keep(self, slots: Ids, block: FeatureBlock) -> None:
        self._ids[slots] = block.item_ids
        self._numbers[slots] = block.item_numbers


def _longer(array: npt.NDArray[T], more: int) -> npt.NDArray[T]:
    return np.concatenate([array, np.zeros((more, *array.shape[1:]), array.dtype)])
