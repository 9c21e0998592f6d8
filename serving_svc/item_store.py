"""The items on offer and their attributes, outside all versions.

The state is the newest event of each item (by event time; at equal times a deletion wins), so the order in which
events arrive does not matter and repeating them does no harm.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from martlet.events import ItemDelete, ItemUpsert
from martlet.feature_encoding import ItemId, Value
from martlet.feature_spec import FeatureSpec
from serving_svc.item_index import ItemIndex, ItemMatrix

ItemEvent = ItemUpsert | ItemDelete


@dataclass(slots=True)
class _Items:
    newest: dict[ItemId, ItemEvent] = field(default_factory=dict)
    indexes: dict[str, ItemIndex] = field(default_factory=dict)


class ItemStore:
    """Lives on one event loop.

    Args:
        limit: most items of one matrix: the newest ones.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._models: dict[str, _Items] = {}

    def apply(self, event: ItemEvent) -> None:
        """Takes one event in."""
        items = self._models.setdefault(event.model, _Items())
        known = items.newest.get(event.item_id)
        if known is not None and _order(known) >= _order(event):
            return
        items.newest[event.item_id] = event
        for index in items.indexes.values():
            _update(index, event)

    def attributes(self, model: str, item: ItemId) -> Mapping[str, Value] | None:
        """The item's attributes; None if it is not on offer."""
        items = self._models.get(model)
        event = items.newest.get(item) if items else None
        return event.attributes if isinstance(event, ItemUpsert) else None

    def matrix(self, model: str, spec: FeatureSpec, spec_digest: str) -> ItemMatrix:
        """The model's items laid out by this spec. The first call for a spec encodes all of them."""
        items = self._models.setdefault(model, _Items())
        index = items.indexes.get(spec_digest)
        if index is None:
            index = items.indexes[spec_digest] = ItemIndex(spec, self._limit)
            for event in sorted(items.newest.values(), key=_order):
                _update(index, event)
        return index.matrix()

    def keep_specs(self, model: str, spec_digests: frozenset[str]) -> None:
        """Drops the matrices of specs that no loaded version has."""
        items = self._models.get(model)
        if items is not None:
            items.indexes = {digest: index for digest, index in items.indexes.items() if digest in spec_digests}


def _order(event: ItemEvent) -> tuple[int, bool]:
    return event.time_us, isinstance(event, ItemDelete)


def _update(index: ItemIndex, event: ItemEvent) -> None:
    if isinstance(event, ItemUpsert):
        index.put(event.item_id, event.attributes)
    else:
        index.remove(event.item_id)
