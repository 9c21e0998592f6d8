"""Choosing k of n."""

import numpy as np
import pytest

from serving_svc.recommend import best_rows


@pytest.mark.parametrize("n", [0, 1, 5, 100])
@pytest.mark.parametrize("k", [1, 3, 5, 200])
def test_the_best_are_those_that_sorting_gives(n: int, k: int) -> None:
    logits = np.random.default_rng(n).integers(-3, 4, n).astype(np.float32)
    assert best_rows(logits, k).tolist() == np.argsort(-logits, kind="stable").tolist()[:k]
