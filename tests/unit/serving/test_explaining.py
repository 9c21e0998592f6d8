"""Explanations: what adds up does, and what is left out is left out."""

from itertools import permutations

import numpy as np
import numpy.typing as npt
import pytest

from martlet.feature_encoding import RankInput, encode
from martlet.keys import MISSING_ID
from serving_svc.explaining import Coalitions, Plan, coalition_block, plan_of, shares_of
from tests.unit.core.samples import SPEC

Doubles = npt.NDArray[np.float64]


def curved(coalitions: Coalitions, seed: int = 3) -> Doubles:
    """A function of sets whose features interact: linear, pairs, and a bend."""
    d, random = coalitions.shape[1], np.random.default_rng(seed)
    kept = coalitions.astype(np.float64)
    linear, pairs = random.normal(size=d), random.normal(size=(d, d))
    return np.asarray(kept @ linear + np.tanh((kept @ pairs * kept).sum(axis=1)) * 2 + 0.7)


def shapley(d: int) -> Doubles:
    """By the definition: the mean gain over all orders."""
    values, orders = np.zeros(d), list(permutations(range(d)))
    for order in orders:
        coalition = np.zeros((1, d), np.bool_)
        for feature in order:
            before = curved(coalition)[0]
            coalition[0, feature] = True
            values[feature] += curved(coalition)[0] - before
    return values / len(orders)


def shares(plan: Plan) -> Doubles:
    return shares_of(plan, curved(plan.coalitions)).shapley


def test_all_subsets_give_the_shapley_values_of_the_definition() -> None:
    plan = plan_of(5, 100, seed=0, most_rows=1000)
    assert plan.exact
    np.testing.assert_allclose(shares(plan), shapley(5), atol=1e-12)
    assert not shares_of(plan, curved(plan.coalitions)).errors.any()


@pytest.mark.parametrize(("features", "count"), [(1, 2), (5, 10), (10, 1000), (23, 2), (23, 400), (23, 7)])
def test_the_law_shapley_values_add_up_whatever_the_number_of_permutations(features: int, count: int) -> None:
    plan = plan_of(features, count, seed=1, most_rows=20_000)
    logits = curved(plan.coalitions)
    assert shares(plan).sum() == pytest.approx(logits[0] - logits[1], abs=1e-9)
    assert plan.exact or plan.orders.shape[0] <= max(count, 2)


def test_sampled_values_near_the_exact_ones_as_far_as_their_errors_say() -> None:
    exact = shapley(7)
    plan = Plan(*_sampled_plan(7, 2000))
    found = shares_of(plan, curved(plan.coalitions))
    assert (np.abs(found.shapley - exact) < 4.5 * found.errors + 1e-12).all()
    assert 0 < found.errors.max() < 0.05


def _sampled_plan(features: int, count: int) -> tuple[Coalitions, npt.NDArray[np.int64], bool]:
    """One that is not exact though it has few features: eleven would be, and then some are cut off."""
    wide = plan_of(11, count, seed=2, most_rows=10**6)
    assert not wide.exact
    orders = np.array([[f for f in order if f < features] for order in wide.orders.tolist()])
    steps = []
    for order in orders:
        place = np.argsort(order)
        steps.append(place[None, :] < np.arange(1, features)[:, None])
    single = [np.ones((1, features), bool), np.zeros((1, features), bool), ~np.eye(features, dtype=bool)]
    return np.concatenate([*single, *steps]), orders, False


def test_without_permutations_there_is_what_each_feature_alone_does() -> None:
    plan = plan_of(4, 0, seed=0, most_rows=100)
    logits = curved(plan.coalitions)
    found = shares_of(plan, logits)
    assert plan.coalitions.shape == (6, 4)
    for feature in range(4):
        left = np.ones((1, 4), np.bool_)
        left[0, feature] = False
        assert found.without[feature] == logits[0] - curved(left)[0]
    assert not found.shapley.any()


def test_the_rows_stay_within_their_bound() -> None:
    for most in (10, 30, 60, 500):
        assert plan_of(8, 400, seed=0, most_rows=most).coalitions.shape[0] <= max(most, 10)
        assert plan_of(30, 400, seed=0, most_rows=most).coalitions.shape[0] <= max(most, 32)


def test_the_same_seed_gives_the_same_permutations() -> None:
    first, second, other = (plan_of(12, 20, seed, 10_000).orders.tolist() for seed in (1, 1, 2))
    assert first == second != other


def test_a_feature_that_is_left_out_is_as_if_it_had_not_been_sent() -> None:
    request = RankInput(5, {"recent_items": [1, 2], "hour": 3.0}, [7], [{"item.price": 2.0}])
    names = [feature.name for feature in SPEC.features]
    for left_out, absent in {
        "user": RankInput(None, request.context, [7], request.item_values),
        "history": RankInput(5, {"hour": 3.0}, [7], request.item_values),
        "price": RankInput(5, request.context, [7], [{}]),
        "hour": RankInput(5, {"recent_items": [1, 2]}, [7], request.item_values),
    }.items():
        kept = np.array([[name != left_out for name in names]] * 2)
        block, expected = coalition_block(SPEC, encode(SPEC, request), kept), encode(SPEC, absent)
        np.testing.assert_array_equal(block.user_ids[1], expected.user_ids[0], left_out)
        np.testing.assert_array_equal(block.user_numbers[1], expected.user_numbers[0], left_out)
        np.testing.assert_array_equal(block.item_ids[1], expected.item_ids[0], left_out)
        np.testing.assert_array_equal(block.item_numbers[1], expected.item_numbers[0], left_out)
        assert block.row_of_user.tolist() == [0, 1]
    nothing = coalition_block(SPEC, encode(SPEC, request), np.zeros((1, len(names)), np.bool_))
    assert nothing.item_ids.tolist() == [[MISSING_ID]]
