"""NDCG by group against scikit-learn's."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score

from benchmarks.learning.ranking import ndcg_by_group

ROWS = st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=40)


@given(ROWS, st.integers(0, 100), st.integers(1, 6))
def test_it_is_scikit_learns(rows: list[tuple[int, bool]], seed: int, depth: int) -> None:
    groups, labels = np.array([row[0] for row in rows]), np.array([float(row[1]) for row in rows])
    scores = np.random.default_rng(seed).permutation(len(rows)).astype(float)
    names, values = ndcg_by_group(groups, scores, labels, depth)
    expected = {
        group: ndcg_score([labels[groups == group]], [scores[groups == group]], k=depth)
        for group in range(4)
        if 0 < labels[groups == group].sum() < (groups == group).sum()
    }
    assert names.tolist() == sorted(expected)
    np.testing.assert_allclose(values, [expected[name] for name in names])
