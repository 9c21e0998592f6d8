"""Exploration: what is logged is what happens."""

from collections import Counter
from itertools import permutations

import numpy as np
import pytest

from martlet.exploration import BEST_FIRST, Exploration
from serving_svc.exploring import order_of

LOGITS = np.array([0.3, 1.2, -0.5, 0.9], np.float32)
KINDS = [Exploration(epsilon=0.3), Exploration(epsilon=1.0), Exploration(temperature=0.5), Exploration(temperature=3.0)]


def test_without_exploration_the_best_come_first_and_nothing_is_logged() -> None:
    order = order_of(LOGITS, 3, BEST_FIRST, "p")
    assert (order.rows.tolist(), order.propensities) == ([1, 3, 0], None)


@pytest.mark.parametrize("exploration", KINDS, ids=str)
def test_the_law_frequencies_are_the_logged_propensities(exploration: Exploration) -> None:
    """Each answer of 2 of 4 items occurs as often as the product of its propensities says: within 4.5 deviations."""
    draws, counts, logged = 20_000, Counter[tuple[int, ...]](), {}
    for n in range(draws):
        order = order_of(LOGITS, 2, exploration, f"p{n}")
        assert order.propensities is not None
        answer = tuple(order.rows.tolist())
        counts[answer] += 1
        probability = float(order.propensities.prod())
        assert logged.setdefault(answer, probability) == probability  # the same answer, the same propensity
    assert sum(logged.values()) == pytest.approx(1.0, abs=1e-5)
    assert set(logged) == set(permutations(range(4), 2))
    for answer, probability in logged.items():
        deviation = np.sqrt(probability * (1 - probability) / draws)
        assert abs(counts[answer] / draws - probability) < 4.5 * deviation, answer


def test_the_first_item_is_drawn_by_its_share_of_the_exponentials() -> None:
    shares = np.exp(LOGITS / 0.5) / np.exp(LOGITS / 0.5).sum()
    for n in range(20):
        order = order_of(LOGITS, 1, Exploration(temperature=0.5), f"p{n}")
        assert order.propensities is not None
        assert order.propensities[0] == pytest.approx(shares[order.rows[0]], rel=1e-5)


@pytest.mark.parametrize("exploration", KINDS, ids=str)
def test_the_same_prediction_gives_the_same_order(exploration: Exploration) -> None:
    first, second = (order_of(LOGITS, 4, exploration, "p7") for _ in range(2))
    assert first.rows.tolist() == second.rows.tolist()
    assert len({tuple(order_of(LOGITS, 4, exploration, f"p{n}").rows.tolist()) for n in range(50)}) > 1


@pytest.mark.parametrize("exploration", KINDS, ids=str)
@pytest.mark.parametrize("k", [1, 4, 9])
def test_every_row_comes_once(exploration: Exploration, k: int) -> None:
    order = order_of(LOGITS, k, exploration, "p")
    assert order.propensities is not None
    assert len(set(order.rows.tolist())) == order.rows.shape[0] == order.propensities.shape[0] == min(k, 4)
    assert ((order.propensities > 0) & (order.propensities <= 1)).all()


def test_propensities_stay_exact_where_one_item_outweighs_all_others() -> None:
    """exp(200) against exp(0): subtracting from a total would leave nothing for the second position."""
    logits = np.array([200.0, 1.0, 0.0, -1.0], np.float32)
    order = order_of(logits, 4, Exploration(temperature=1.0), "p")
    assert order.propensities is not None
    assert order.rows[0] == 0
    left = np.exp(logits[order.rows[1:]].astype(np.float64))
    expected = [left[n] / left[n:].sum() for n in range(3)]
    assert order.propensities.tolist() == pytest.approx([1.0, *expected], rel=1e-5)


def test_nothing_to_order_is_an_empty_answer() -> None:
    assert order_of(LOGITS[:0], 3, Exploration(epsilon=0.5), "p").rows.tolist() == []
