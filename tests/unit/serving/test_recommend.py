"""Choosing k of n."""

import numpy as np
import pytest

from serving_svc.recommend import best_rows


@pytest.mark.parametrize("n", [1, 5, 100])
@pytest.mark.parametrize("k", [1, 3, 5, 200])
def test_the_best_are_those_that_sorting_gives(n: int, k: int) -> None:
    logits = np.random.default_rng(n).integers(-3, 4, n).astype(np.float32)
    excluded = np.array([0, n // 2], np.int64)
    expected = [row for row in np.argsort(-logits, kind="stable").tolist() if row not in excluded][:k]
    assert best_rows(logits, k, excluded).tolist() == expected


def test_everything_excluded_leaves_nothing() -> None:
    assert best_rows(np.zeros(3, np.float32), 2, np.arange(3)).tolist() == []


def test_exclusion_does_not_touch_the_scores() -> None:
    logits = np.ones(3, np.float32)
    best_rows(logits, 1, np.array([0]))
    assert logits.tolist() == [1, 1, 1]
