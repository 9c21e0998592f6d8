"""How much each feature contributed to a logit: the coalitions to score, and what their logits say. Pure.

A coalition is a set of features that keep their values; the others are as if the caller had not sent them. All
coalitions of an explanation are scored as one block.
"""

from dataclasses import dataclass
from math import comb, sqrt
from typing import Final

import numpy as np
import numpy.typing as npt

from martlet.feature_spec import Feature, FeatureBlock, FeatureKind, FeatureSpec, Side
from martlet.keys import MISSING_ID

Doubles = npt.NDArray[np.float64]
Coalitions = npt.NDArray[np.bool_]

MOST_EXACT: Final = 10  # features: 1,024 subsets


@dataclass(frozen=True, slots=True)
class Plan:
    """Which coalitions are scored.

    Attributes:
        coalitions: bool[c, d], which features are kept. The first keeps all, the second none, the next d all but one.
        orders: int64[p, d], permutations of the features; the coalitions after those above are what they pass through.
        exact: the coalitions after those above are all subsets, subset i keeping feature j if bit j of i is set.
    """

    coalitions: Coalitions
    orders: npt.NDArray[np.int64]
    exact: bool


@dataclass(frozen=True, slots=True)
class Shares:
    """What the coalitions' logits say, float64[d] each.

    Attributes:
        without: logit of all - logit without this feature alone.
        shapley: Shapley values; zeros if none were asked for. errors: their standard errors.
    """

    without: Doubles
    shapley: Doubles
    errors: Doubles


def plan_of(features: int, permutations: int, seed: int, most_rows: int) -> Plan:
    """The coalitions for so many features.

    Args:
        features: how many there are.
        permutations: most that are run; 0: no Shapley values. They come in pairs, an order and its reverse, which
            vary less.
        seed: of the permutations.
        most_rows: most coalitions in all; if one pair of permutations does not fit, there are no Shapley values.
    """
    single = np.concatenate(
        [np.ones((1, features), np.bool_), np.zeros((1, features), np.bool_), ~np.eye(features, dtype=np.bool_)]
    )
    no_orders = np.empty((0, features), np.int64)
    room = most_rows - single.shape[0]
    if not permutations or not features:
        return Plan(single, no_orders, exact=False)
    if features <= MOST_EXACT and 1 << features <= min(room, max(permutations, 1) * features):
        subsets = (np.arange(1 << features)[:, None] >> np.arange(features)) & 1
        return Plan(np.concatenate([single, subsets.astype(np.bool_)]), no_orders, exact=True)
    pairs = min(max(permutations // 2, 1), room // max(2 * (features - 1), 1))
    random = np.random.default_rng(seed)
    forward = [random.permutation(features) for _ in range(pairs)]
    orders = np.array([order for one in forward for order in (one, one[::-1])], np.int64).reshape(-1, features)
    passed = [single, *(_passed_through(order) for order in orders)]
    return Plan(np.concatenate(passed), orders, exact=False)


def shares_of(plan: Plan, logits: Doubles) -> Shares:
    """What the coalitions' logits, float64[c], say."""
    d = plan.coalitions.shape[1]
    zeros = np.zeros(d)
    without = logits[0] - logits[2 : 2 + d]
    if plan.exact:
        return Shares(without, _exact(logits[2 + d :], d), zeros)
    if not plan.orders.shape[0]:
        return Shares(without, zeros, zeros)
    passed = logits[2 + d :].reshape(plan.orders.shape[0], d - 1)
    return Shares(without, *_sampled(plan.orders, passed, float(logits[1]), float(logits[0])))


def coalition_block(spec: FeatureSpec, block: FeatureBlock, coalitions: Coalitions) -> FeatureBlock:
    """One user row and one item row for each coalition, of a block of one user and one item."""
    count = coalitions.shape[0]
    user_ids, user_numbers = np.repeat(block.user_ids, count, axis=0), np.repeat(block.user_numbers, count, axis=0)
    item_ids, item_numbers = np.repeat(block.item_ids, count, axis=0), np.repeat(block.item_numbers, count, axis=0)
    for feature, kept in zip(spec.features, coalitions.T, strict=True):
        ids, numbers = (user_ids, user_numbers) if feature.side is Side.USER else (item_ids, item_numbers)
        _leave_out(feature, spec.layout.first_column[feature.name], ids, numbers, ~kept)
    return FeatureBlock(user_ids, user_numbers, item_ids, item_numbers, np.arange(count, dtype=np.int64))


def _leave_out(
    feature: Feature,
    column: int,
    ids: npt.NDArray[np.int64],
    numbers: npt.NDArray[np.float32],
    rows: npt.NDArray[np.bool_],
) -> None:
    if not feature.is_id:
        numbers[rows, column : column + feature.max_len] = np.nan
    elif feature.kind is FeatureKind.ID:
        ids[rows, column] = MISSING_ID
    else:
        ids[rows, column : column + 1 + feature.max_len] = 0


def _passed_through(order: npt.NDArray[np.int64]) -> Coalitions:
    """The coalitions between none and all when features come in this order, bool[d - 1, d]."""
    place = np.empty_like(order)
    place[order] = np.arange(order.shape[0])
    return np.asarray(place[None, :] < np.arange(1, order.shape[0])[:, None])


def _exact(logits: Doubles, d: int) -> Doubles:
    """The Shapley value of each feature, from the logits of all subsets, float64[2**d]."""
    subsets = np.arange(1 << d)
    sizes = ((subsets[:, None] >> np.arange(d)) & 1).sum(axis=1)
    weights = np.array([1.0 / (d * comb(d - 1, size)) for size in range(d)])
    values = np.empty(d)
    for feature in range(d):
        outside = subsets[(subsets >> feature) & 1 == 0]
        gains = logits[outside | (1 << feature)] - logits[outside]
        values[feature] = (weights[sizes[outside]] * gains).sum()
    return values


def _sampled(orders: npt.NDArray[np.int64], passed: Doubles, none: float, every: float) -> tuple[Doubles, Doubles]:
    """Mean gain of each feature over the orders, and its standard error; the gains of an order add up to the whole."""
    p = orders.shape[0]
    ends = np.concatenate([np.full((p, 1), none), passed, np.full((p, 1), every)], axis=1)
    gains = np.empty(orders.shape)
    np.put_along_axis(gains, orders, np.diff(ends, axis=1), axis=1)
    halves = gains.reshape(p // 2, 2, -1).mean(axis=1)  # an order and its reverse are one draw
    draws = halves.shape[0]
    errors = halves.std(axis=0, ddof=1) / sqrt(draws) if draws > 1 else np.full(orders.shape[1], np.nan)
    return gains.mean(axis=0), errors
