"""The items on offer and their attributes, outside all versions.

The state is the newest event of each item (by event time; at equal times a deletion wins), so the order in which
events arrive does not matter and repeating them does no harm.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from martlet.events import ItemDelete, ItemUpsert
from martlet.feature_encoding import ItemId, Value
from martlet.feature_spec import FeatureSpec
from serving_svc.item_index import ItemIndex
from serving_svc.item_shelf import ItemShelf

ItemEvent = ItemUpsert | ItemDelete
Listener = Callable[[int, ItemId | None], None]  # a slot, and the item that is in it now


@dataclass(slots=True)
class _Items:
    """One model's.

    Attributes:
        times: event time of what is known of an item, times two, plus one for a deletion: greater is newer.
    """

    shelf: ItemShelf = field(default_factory=ItemShelf)
    times: dict[ItemId, int] = field(default_factory=dict)
    indexes: dict[str, ItemIndex] = field(default_factory=dict)
    listeners: list[Listener] = field(default_factory=list)


class ItemStore:
    """Lives on one event loop."""

    def __init__(self) -> None:
        self._models: dict[str, _Items] = {}

    def apply(self, event: ItemEvent) -> None:
        """Takes one event in."""
        items = self._of(event.model)
        order = event.time_us * 2 + isinstance(event, ItemDelete)
        known = items.times.get(event.item_id)
        if known is not None and known >= order:
            return
        items.times[event.item_id] = order
        if isinstance(event, ItemUpsert):
            slot: int | None = items.shelf.put(event.item_id, event.attributes)
        else:
            slot = items.shelf.remove(event.item_id)
        if slot is not None:
            for index in items.indexes.values():
                index.forget(slot)
            for listener in items.listeners:
                listener(slot, event.item_id if isinstance(event, ItemUpsert) else None)

    def attributes(self, model: str, item: ItemId) -> Mapping[str, Value] | None:
        """The item's attributes; None if it is not on offer."""
        items = self._models.get(model)
        slot = items.shelf.slot(item) if items else None
        return items.shelf.attributes(slot) if items and slot is not None else None

    @property
    def size(self) -> int:
        """Items on offer, of all models. From any thread."""
        return sum(len(items.shelf) for items in self._models.copy().values())

    def models(self) -> tuple[str, ...]:
        """The models that items were announced for."""
        return tuple(self._models)

    def shelf(self, model: str) -> ItemShelf:
        """The model's items by slot."""
        return self._of(model).shelf

    def index(self, model: str, spec: FeatureSpec, spec_digest: str) -> ItemIndex:
        """The model's items laid out by this spec."""
        items = self._of(model)
        index = items.indexes.get(spec_digest)
        if index is None:
            index = items.indexes[spec_digest] = ItemIndex(spec, items.shelf)
        return index

    def listen(self, model: str, listener: Listener) -> None:
        """Tells the listener, from now on, each slot whose item comes, changes or goes."""
        self._of(model).listeners.append(listener)

    def keep_specs(self, model: str, spec_digests: frozenset[str]) -> None:
        """Drops the matrices of specs that no loaded version has."""
        items = self._models.get(model)
        if items is not None:
            items.indexes = {digest: index for digest, index in items.indexes.items() if digest in spec_digests}

    def _of(self, model: str) -> _Items:
        return self._models.setdefault(model, _Items())
