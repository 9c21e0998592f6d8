"""What is done about numbers, and that a block in which nothing is wrong passes untouched."""

from typing import Any

import numpy as np
import pytest

from martlet.errors import InvalidInput
from martlet.feature_spec import Feature, FeatureBlock, FeatureKind, FeatureSpec, Side
from martlet.runtime.learning_config import HygieneConfig
from trainer_svc.hygiene.value_cleaning import WARM_UP, ValueCleaning

SPEC = FeatureSpec(
    (
        Feature("user", "user_id", FeatureKind.ID, Side.USER, space="user", width=2),
        Feature("age", "age", FeatureKind.NUMBER, Side.USER),
        Feature("item", "item_id", FeatureKind.ID, Side.ITEM, space="item", width=2),
        Feature("picture", "item.picture", FeatureKind.VECTOR, Side.ITEM, max_len=2),
        Feature("price", "item.price", FeatureKind.NUMBER, Side.ITEM),
    ),
    {"user": 1, "item": 2},
)


def block_of(prices: Any, ages: Any = (30.0,), owners: Any = None) -> FeatureBlock:
    n = len(prices)
    numbers = np.zeros((n, 3), np.float32)
    numbers[:, :2], numbers[:, 2] = 1e9, prices
    return FeatureBlock(
        np.arange(len(ages))[:, None], np.array(ages, np.float32)[:, None], np.arange(n)[:, None], numbers,
        np.zeros(n, np.int64) if owners is None else np.array(owners),
    )  # fmt: skip


def test_what_is_in_range_is_the_same_block() -> None:
    cleaning = ValueCleaning(HygieneConfig(clip={"price": (0.0, 10.0)}, missing={"price": "mean"}), SPEC)
    block = block_of([1.0, 10.0])
    assert cleaning.clean(block).block is block


def test_ranges_cut_and_leave_vectors_and_the_given_block_alone() -> None:
    cleaning = ValueCleaning(HygieneConfig(clip={"price": (0.0, 10.0), "age": (18.0, 99.0)}), SPEC)
    block = block_of([-5.0, 50.0, np.nan], ages=[3.0])
    cleaned = cleaning.clean(block).block
    np.testing.assert_array_equal(cleaned.item_numbers[:, 2], [0.0, 10.0, np.nan])
    np.testing.assert_array_equal(cleaned.item_numbers[:, :2], block.item_numbers[:, :2])
    assert cleaned.user_numbers[0, 0] == 18.0
    assert block.item_numbers[0, 2] == -5.0
    assert dict(zip(cleaning.names, cleaning.cut.tolist(), strict=True)) == {"age": 1, "price": 2}


@pytest.mark.parametrize(("method", "limit"), [("quantile", 1.0), ("deviation", 2.3)])
def test_an_outlier_is_cut_to_what_came_before(method: Any, limit: float) -> None:
    cleaning = ValueCleaning(HygieneConfig(outliers=method, outlier_share=0.01, outlier_deviations=6.0), SPEC)
    dice = np.random.default_rng(0)
    far = block_of([1e6])
    assert cleaning.clean(far).block is far  # nobody can tell yet
    cleaning = ValueCleaning(HygieneConfig(outliers=method, outlier_share=0.01, outlier_deviations=6.0), SPEC)
    for _ in range(WARM_UP // 100 + 1):
        cleaning.clean(block_of(dice.random(100)))
    for _ in range(3):  # an outlier does not move its own limit
        assert cleaning.clean(far).block.item_numbers[0, 2] == pytest.approx(limit, rel=0.05)


def test_missing_numbers_by_policy() -> None:
    def cleaned(policy: Any, blocks: list[FeatureBlock]) -> Any:
        cleaning = ValueCleaning(HygieneConfig(missing={"price": policy}), SPEC)
        return [cleaning.clean(block) for block in blocks][-1]

    blocks = [block_of([2.0, 4.0]), block_of([np.nan, 8.0])]
    assert cleaned("zero", blocks).block is blocks[1]
    np.testing.assert_allclose(cleaned("mean", blocks).block.item_numbers[:, 2], [14 / 3, 8.0], rtol=1e-5)
    np.testing.assert_array_equal(cleaned("last", blocks).block.item_numbers[:, 2], [2.0, 8.0])
    np.testing.assert_array_equal(cleaned("drop", blocks).keep, [1])


def test_a_users_missing_number_drops_all_examples_of_the_request() -> None:
    cleaning = ValueCleaning(HygieneConfig(missing={"age": "drop"}), SPEC)
    cleaned = cleaning.clean(block_of([1.0, 2.0, 3.0], ages=[np.nan, 30.0], owners=[0, 0, 1]))
    np.testing.assert_array_equal(cleaned.keep, [2])
    assert cleaning.dropped == 2


def test_a_name_that_is_no_number_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"learning\.hygiene\.clip.*'item'"):
        ValueCleaning(HygieneConfig(clip={"item": (0.0, 1.0)}), SPEC)
    with pytest.raises(InvalidInput, match=r"learning\.hygiene\.clip\.price must be a range"):
        HygieneConfig(clip={"price": (2.0, 1.0)})
