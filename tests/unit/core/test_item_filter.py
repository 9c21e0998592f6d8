"""The bounds of a filter."""

from functools import reduce

import pytest

from martlet.errors import InvalidInput
from martlet.item_filter import (
    MAX_DEPTH,
    MAX_NODES,
    MAX_VALUES,
    All,
    Between,
    Either,
    In,
    ItemFilter,
    Not,
    attributes_of,
    check_filter,
    equals,
)

LEAF = equals("item.brand", "acme")


def nested(levels: int) -> ItemFilter:
    return reduce(lambda inner, _: Not(inner), range(levels - 1), LEAF)  # type: ignore[arg-type,return-value]


@pytest.mark.parametrize(
    "tree",
    [
        LEAF,
        All(()),
        nested(MAX_DEPTH),
        Either((LEAF,) * (MAX_NODES - 1)),
        In("item.kind", tuple(range(MAX_VALUES))),
        Between("item.price", None, 3.0),
        Between("item.price", float("-inf"), 3.0),
    ],
)
def test_a_filter_within_its_bounds_is_taken(tree: ItemFilter) -> None:
    assert check_filter(tree) is tree


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        (nested(MAX_DEPTH + 1), "at most 8 levels"),
        (nested(500), "at most 8 levels"),
        (Either((LEAF,) * MAX_NODES), "has 65 nodes: at most 64"),
        (All((In("a", tuple(range(600))), In("b", tuple(range(401))))), "has 1001 values: at most 1000"),
        (In("item.kind", ()), "the filter on 'item.kind' has no values"),
        (Not(In("", (1,))), "names no attribute"),
        (Between("item.price"), "needs min or max"),
        (Between("item.price", float("nan")), "needs min or max"),
    ],
)
def test_a_filter_beyond_its_bounds_is_refused(tree: ItemFilter, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        check_filter(tree)


def test_it_knows_the_attributes_that_it_asks_for() -> None:
    tree = All((LEAF, Not(Between("item.price", 1.0)), Either((equals("item.brand", 3), equals("item.kind", 1)))))
    assert attributes_of(tree) == {"item.brand", "item.price", "item.kind"}
