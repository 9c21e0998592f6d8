"""Items with the vector of a text as one more attribute, for an input such as `ml.Vector("item.title_vector", ...)`.

A vector is an attribute like any other: it travels with the item's announcement, stands in the log and in each
prediction's record, and is learned from as it was served.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

from martlet.errors import InvalidInput
from martlet.feature_encoding import ItemId, Value
from trainer_svc.text.encoder import TextEncoder

Items = Mapping[ItemId, Mapping[str, Value]]


def with_vectors(items: Items, encoder: TextEncoder, source: str, to: str) -> dict[ItemId, dict[str, Value]]:
    """The items with their other attributes as they were; one without the text gets no vector.

    Args:
        items: attributes by source name, by item.
        encoder: of the texts.
        source: the text's attribute, such as item.title.
        to: the vector's, such as item.title_vector.

    Raises:
        InvalidInput: the attribute of an item is no text.
    """
    texts = {item: _text(item, source, values[source]) for item, values in items.items() if source in values}
    vectors = dict(zip(texts, encoder.encode(list(texts.values())), strict=True))
    return {item: {**values, to: vectors[item]} if item in vectors else dict(values) for item, values in items.items()}


def in_parts(items: Iterable[tuple[ItemId, Mapping[str, Value]]], size: int) -> Iterator[Items]:
    """So many items at a time."""
    rest = iter(items)
    while part := dict(islice(rest, size)):
        yield part


def _text(item: ItemId, source: str, value: Value) -> str:
    if not isinstance(value, str):
        raise InvalidInput(f"{source} of item {item!r} is no text but {value!r}")
    return value
