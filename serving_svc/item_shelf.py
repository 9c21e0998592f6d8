"""The items of one model, each in a slot: a number that stays while the item is on offer and then is used again."""

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Final

import numpy as np
import numpy.typing as npt

from martlet.feature_encoding import ItemId, Value
from serving_svc.item_columns import AttributeColumns, Mask

FIRST_CAPACITY: Final = 64


class ItemShelf:
    """Lives on one event loop; arrays that it gives away may be read anywhere (single values may change meanwhile).

    Putting and removing take constant time (now and then the arrays double).
    """

    def __init__(self) -> None:
        self._slots: dict[ItemId, int] = {}  # in the order in which items were last put: the newest are at the end
        self._items: list[ItemId | None] = []
        self._attributes: list[Mapping[str, Value]] = []
        self._free: list[int] = []
        self._on_offer = np.zeros(FIRST_CAPACITY, np.bool_)
        self.columns = AttributeColumns(FIRST_CAPACITY)

    def __len__(self) -> int:
        return len(self._slots)

    @property
    def capacity(self) -> int:
        """Slots that there is room for."""
        return int(self._on_offer.shape[0])

    @property
    def on_offer(self) -> Mask:
        """Which slots hold an item, bool[capacity]."""
        return self._on_offer

    def slot(self, item: ItemId) -> int | None:
        """The item's slot; None if it is not on offer."""
        return self._slots.get(item)

    def attributes(self, slot: int) -> Mapping[str, Value]:
        """What was announced of the item in a slot."""
        return self._attributes[slot]

    def items(self, slots: npt.NDArray[np.int64]) -> tuple[ItemId, ...]:
        """The items in slots that hold one."""
        found = [self._items[slot] for slot in slots.tolist()]
        return tuple(item for item in found if item is not None)

    def slots_of(self, items: Iterable[ItemId]) -> npt.NDArray[np.int64]:
        """The slots of those that are on offer, in no particular order, int64[<= n]."""
        found = [slot for slot in map(self._slots.get, items) if slot is not None]
        return np.array(found, np.int64)

    def newest(self, count: int) -> npt.NDArray[np.int64]:
        """The slots of the items put last, at most `count`, the newest last."""
        slots = np.fromiter(islice(reversed(self._slots.values()), count), np.int64)
        return slots[::-1]

    def put(self, item: ItemId, attributes: Mapping[str, Value]) -> int:
        """Adds or replaces an item, which then is the newest; gives its slot."""
        slot = self._slots.pop(item, None)
        if slot is None:
            slot = self._take_slot()
        self._slots[item] = slot
        self._items[slot] = item
        self._attributes[slot] = attributes
        self._on_offer[slot] = True
        self.columns.put(slot, attributes)
        return slot

    def remove(self, item: ItemId) -> int | None:
        """Takes an item out; gives the slot that it had, if it was there."""
        slot = self._slots.pop(item, None)
        if slot is not None:
            self._on_offer[slot] = False
            self._items[slot] = None
            self._attributes[slot] = {}
            self._free.append(slot)
        return slot

    def _take_slot(self) -> int:
        if self._free:
            return self._free.pop()
        if len(self._items) == self.capacity:
            self._on_offer = np.concatenate([self._on_offer, np.zeros_like(self._on_offer)])
            self.columns.grow(self.capacity)
        self._items.append(None)
        self._attributes.append({})
        return len(self._items) - 1
