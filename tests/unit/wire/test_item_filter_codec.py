"""Filters on the wire."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from martlet.errors import InvalidInput
from martlet.item_filter import MAX_DEPTH, All, Between, Either, In, ItemFilter, Not, parts_of
from martlet.v1 import events_pb2, serving_pb2
from martlet.wire.item_filter import item_filter_message, item_filter_of

NAMES = st.sampled_from(["item.brand", "item.price"])
VALUES = st.one_of(
    st.integers(-(1 << 63), (1 << 63) - 1), st.text(max_size=3), st.floats(allow_nan=False), st.just(0.5)
)
NUMBERS = st.floats(allow_nan=False)
LEAVES = st.one_of(
    st.builds(In, NAMES, st.lists(VALUES, min_size=1, max_size=4).map(tuple)),
    st.builds(Between, NAMES, NUMBERS, st.none() | NUMBERS),
    st.builds(Between, NAMES, st.none(), NUMBERS),
)
TREES = st.recursive(
    LEAVES,
    lambda parts: st.one_of(
        st.builds(All, st.lists(parts, max_size=3).map(tuple)),
        st.builds(Either, st.lists(parts, max_size=3).map(tuple)),
        st.builds(Not, parts),
    ),
    max_leaves=6,
)


@given(TREES)
def test_a_filter_comes_back(tree: ItemFilter) -> None:
    assume(_levels(tree) <= MAX_DEPTH)
    message = item_filter_message(tree)
    assert item_filter_of(serving_pb2.ItemFilter.FromString(message.SerializeToString())) == tree


def _levels(tree: ItemFilter) -> int:
    return 1 + max((_levels(part) for part in parts_of(tree)), default=0)


def leaf() -> serving_pb2.ItemFilter:
    return item_filter_message(In("item.brand", ("a",)))


def refusals() -> dict[str, serving_pb2.ItemFilter]:
    listed = item_filter_message(In("item.brand", ("a",)))
    ids = events_pb2.IdList(ids=[events_pb2.Id(number=1)])
    getattr(listed, "in").values.append(events_pb2.FeatureValue(id_list=ids))
    deep = leaf()
    for _ in range(20):
        outer = serving_pb2.ItemFilter()
        getattr(outer, "not").CopyFrom(deep)
        deep = outer
    wide = serving_pb2.ItemFilter(any=serving_pb2.ItemFilters(filters=[leaf()] * 65))
    return {
        "a filter's node is empty": serving_pb2.ItemFilter(),
        "takes ids and numbers, no lists": listed,
        "at most 8 levels": deep,
        "at most 64 nodes": wide,
        "needs min or max": serving_pb2.ItemFilter(range=serving_pb2.AttributeRange(attribute="item.price")),
    }


@pytest.mark.parametrize("message", refusals())
def test_bad_filters_are_refused_by_what_is_wrong(message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        item_filter_of(refusals()[message])
