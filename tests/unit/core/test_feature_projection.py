"""What one spec laid out is read by another as if it had laid it out itself, but for what was never sent."""

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from martlet.feature_encoding import RankInput, encode
from martlet.feature_projection import Projection, absent
from martlet.feature_spec import Feature, FeatureBlock, FeatureKind, FeatureSpec, Side
from martlet.keys import space_salt

FEATURES = (
    Feature("user", "user_id", FeatureKind.ID, Side.USER, space="user", width=4),
    Feature("recent", "recent", FeatureKind.ID_LIST, Side.USER, space="item", width=4, max_len=3),
    Feature("age", "age", FeatureKind.NUMBER, Side.USER),
    Feature("item", "item_id", FeatureKind.ID, Side.ITEM, space="item", width=4),
    Feature("brand", "item.brand", FeatureKind.ID, Side.ITEM, space="brand", width=4),
    Feature("price", "item.price", FeatureKind.NUMBER, Side.ITEM),
)
VALUES = {"recent": [5, 6], "age": 41.0}
ITEM = {"item.brand": "acme", "item.price": 2.5}


def spec(features: tuple[Feature, ...]) -> FeatureSpec:
    return FeatureSpec(features, {one.space: space_salt(one.space) for one in features if one.space})


def block(of: FeatureSpec, unsent: frozenset[str] = frozenset()) -> FeatureBlock:
    context = {name: value for name, value in VALUES.items() if name not in unsent}
    item = {name: value for name, value in ITEM.items() if name not in unsent}
    user = None if "user_id" in unsent else 9
    return encode(of, RankInput(user, context, [1, "two"], [item, item]))


SPECS = st.permutations(FEATURES).flatmap(
    lambda order: st.integers(1, len(FEATURES)).map(lambda count: spec(tuple(order[:count])))
)


@given(SPECS, SPECS)
def test_a_projected_block_is_what_the_other_spec_would_have_laid_out(before: FeatureSpec, after: FeatureSpec) -> None:
    unsent = frozenset(one.source for one in after.features if one.name in absent(before, after))
    if "item_id" in unsent:
        return  # an item is always sent
    read, wanted = Projection.between(before, after).of_block(block(before)), block(after, unsent)
    for part in ("user_ids", "user_numbers", "item_ids", "item_numbers", "row_of_user"):
        np.testing.assert_array_equal(getattr(read, part), getattr(wanted, part))


def test_wider_rows_are_the_same_feature_and_another_source_is_not() -> None:
    before = spec(FEATURES)
    wider = spec(tuple(replace(one, width=8) if one.width else one for one in FEATURES))
    assert not absent(before, wider)
    moved = spec(tuple(replace(one, source="item.cost") if one.name == "price" else one for one in FEATURES))
    assert absent(before, moved) == ("price",)
