"""Item filters: messages to values and back."""

from martlet.errors import InvalidInput
from martlet.item_filter import MAX_DEPTH, MAX_NODES, All, Between, Either, In, ItemFilter, Not, check_filter
from martlet.v1 import serving_pb2 as pb
from martlet.wire.values import value_message, value_of


def item_filter_of(message: pb.ItemFilter) -> ItemFilter:
    """A filter from a message.

    Raises:
        InvalidInput: a node without content, or beyond the bounds (see `martlet.item_filter`).
    """
    return check_filter(_decoded(message, MAX_DEPTH))


def item_filter_message(tree: ItemFilter) -> pb.ItemFilter:
    """A filter as a message."""
    message = pb.ItemFilter()
    if isinstance(tree, In):
        # `in` is a word of Python's, so the generated class has no such attribute to write
        condition = pb.AttributeIn(attribute=tree.attribute, values=[value_message(value) for value in tree.values])
        getattr(message, "in").CopyFrom(condition)
    elif isinstance(tree, Between):
        message.range.CopyFrom(pb.AttributeRange(attribute=tree.attribute, min=tree.low, max=tree.high))
    elif isinstance(tree, All):
        message.all.CopyFrom(pb.ItemFilters(filters=[item_filter_message(part) for part in tree.parts]))
    elif isinstance(tree, Either):
        message.any.CopyFrom(pb.ItemFilters(filters=[item_filter_message(part) for part in tree.parts]))
    else:
        getattr(message, "not").CopyFrom(item_filter_message(tree.part))
    return message


def _decoded(message: pb.ItemFilter, levels: int) -> ItemFilter:
    if levels == 0:
        raise InvalidInput(f"a filter has at most {MAX_DEPTH} levels")
    kind = message.WhichOneof("kind")
    if kind is None:
        raise InvalidInput("a filter's node is empty")
    if kind == "in":
        return _in(getattr(message, "in"))
    if kind == "range":
        return _between(message.range)
    if kind == "not":
        return Not(_decoded(getattr(message, "not"), levels - 1))
    return _joined(message, kind, levels)


def _joined(message: pb.ItemFilter, kind: str, levels: int) -> ItemFilter:
    filters = message.all.filters if kind == "all" else message.any.filters
    if len(filters) > MAX_NODES:
        raise InvalidInput(f"a filter has at most {MAX_NODES} nodes")
    parts = tuple(_decoded(part, levels - 1) for part in filters)
    return All(parts) if kind == "all" else Either(parts)


def _in(condition: pb.AttributeIn) -> In:
    values: list[int | str | float] = []
    for message in condition.values:
        value = value_of(message, condition.attribute)
        if not isinstance(value, int | str | float):
            raise InvalidInput(f"the filter on {condition.attribute!r} takes ids and numbers, no lists")
        values.append(value)
    return In(condition.attribute, tuple(values))


def _between(condition: pb.AttributeRange) -> Between:
    low = condition.min if condition.HasField("min") else None
    high = condition.max if condition.HasField("max") else None
    return Between(condition.attribute, low, high)
