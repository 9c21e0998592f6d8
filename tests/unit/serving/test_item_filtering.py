"""A filter over columns says of each item what the filter's own words say of its attributes."""

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from martlet.feature_encoding import Value
from martlet.item_filter import All, Between, Either, In, ItemFilter, Not, attributes_of, equals
from serving_svc.item_columns import MAX_COLUMNS, MAX_LISTED, AttributeColumns
from serving_svc.item_filtering import filter_at, filter_mask

NAMES = ["a", "b", "c"]
SCALARS = st.one_of(st.integers(0, 3), st.sampled_from(["x", "y", "1"]), st.sampled_from([0.5, 1.0, 2.0]))
IDS = st.one_of(st.integers(0, 3), st.sampled_from(["x", "y", "1"]))
VALUES: st.SearchStrategy[Value] = st.one_of(SCALARS, st.lists(IDS, max_size=3))
ITEMS = st.lists(st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=3), min_size=1, max_size=12)
LEAVES = st.one_of(
    st.builds(In, st.sampled_from(NAMES), st.lists(SCALARS, min_size=1, max_size=12).map(tuple)),
    st.builds(Between, st.sampled_from(NAMES), st.sampled_from([None, 0.0, 1.0]), st.sampled_from([1.0, 2.0, 9.0])),
)
TREES = st.recursive(
    LEAVES,
    lambda parts: st.one_of(
        st.builds(All, st.lists(parts, max_size=3).map(tuple)),
        st.builds(Either, st.lists(parts, max_size=3).map(tuple)),
        st.builds(Not, parts),
    ),
    max_leaves=5,
)


def holds(tree: ItemFilter, item: Mapping[str, Value]) -> bool:
    """The reference, by words."""
    if isinstance(tree, All):
        return all(holds(part, item) for part in tree.parts)
    if isinstance(tree, Either):
        return any(holds(part, item) for part in tree.parts)
    if isinstance(tree, Not):
        return not holds(tree.part, item)
    value = item.get(tree.attribute)
    if isinstance(tree, Between):
        low = -np.inf if tree.low is None else tree.low
        high = np.inf if tree.high is None else tree.high
        return isinstance(value, int | float) and low <= value <= high
    if value is None:
        return False
    having = value if isinstance(value, list) else [value]
    return any(same(one, wanted) for one in having for wanted in tree.values)


def same(value: object, wanted: object) -> bool:
    """1 is no text, and it is 1.0."""
    return isinstance(value, str) == isinstance(wanted, str) and value == wanted


def columns_of(items: list[dict[str, Value]], capacity: int = 64) -> AttributeColumns:
    columns = AttributeColumns(capacity)
    for slot, item in enumerate(items):
        columns.put(slot, item)
    return columns


@given(ITEMS, TREES)
def test_columns_and_words_agree(items: list[dict[str, Value]], tree: ItemFilter) -> None:
    if any(isinstance(item.get(name), list) for item in items for name in NAMES):
        tree = without_numbers(tree)  # in a list there are ids alone; asking for a number in it is asking for nothing
    views = columns_of(items).views(attributes_of(tree))
    expected = [holds(tree, item) for item in items]
    assert filter_mask(tree, views, 64)[: len(items)].tolist() == expected
    slots = np.arange(len(items))[::-1]
    assert filter_at(tree, views, slots).tolist() == expected[::-1]


def without_numbers(tree: ItemFilter) -> ItemFilter:
    if isinstance(tree, In):
        kept = tuple(value for value in tree.values if not isinstance(value, float))
        return In(tree.attribute, kept or ("x",))
    if isinstance(tree, All | Either):
        return type(tree)(tuple(without_numbers(part) for part in tree.parts))
    return Not(without_numbers(tree.part)) if isinstance(tree, Not) else tree


def test_great_ids_are_not_taken_for_one_another() -> None:
    great = 1 << 60
    views = columns_of([{"a": great}, {"a": great + 1}]).views(frozenset("a"))
    assert filter_mask(equals("a", great), views, 2).tolist() == [True, False]


def test_what_an_item_has_no_more_is_empty_again() -> None:
    columns = columns_of([{"a": 1, "b": ["x", "y"]}, {"a": 1}])
    columns.put(0, {"c": 2.5})
    views = columns.views(frozenset("abc"))
    assert filter_mask(equals("a", 1), views, 2).tolist() == [False, True]
    assert filter_mask(equals("b", "x"), views, 2).tolist() == [False, False]
    assert filter_mask(Between("c", 2.0), views, 2).tolist() == [True, False]


def test_a_view_outlives_growth() -> None:
    columns = columns_of([{"a": 1}], capacity=1)
    view = columns.views(frozenset("a"))
    columns.grow(1000)
    columns.put(999, {"a": [1] * 5})
    assert filter_mask(equals("a", 1), view, 1).tolist() == [True]
    assert np.flatnonzero(filter_mask(equals("a", 1), columns.views(frozenset("a")), 1000)).tolist() == [0, 999]


def test_columns_and_lists_are_bounded() -> None:
    columns = columns_of([{f"a{n}": 1 for n in range(MAX_COLUMNS + 5)}, {"a0": list(range(MAX_LISTED + 5))}], 2)
    names = frozenset(f"a{n}" for n in range(MAX_COLUMNS + 5))
    assert len(columns.views(names)) == MAX_COLUMNS
    assert filter_mask(equals("a0", MAX_LISTED - 1), columns.views(names), 2).tolist() == [False, True]
    assert filter_mask(equals("a0", MAX_LISTED), columns.views(names), 2).tolist() == [False, False]


@pytest.mark.parametrize("attribute", ["nobody has it", "item.price"])
def test_an_attribute_that_nobody_has_holds_for_nobody(attribute: str) -> None:
    assert not filter_mask(equals(attribute, 1), {}, 3).any()
    assert filter_mask(Not(equals(attribute, 1)), {}, 3).all()
