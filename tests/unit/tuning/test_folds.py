"""Folds: their figures are those of their rows, and they share the answers evenly."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as oracle

from martlet.errors import InvalidInput
from trainer_svc.evaluation.metrics.calibration import probabilities
from trainer_svc.tuning.folds import FoldRows, direction, fold_edges, fold_figures


@given(st.integers(1, 9), st.lists(st.integers(0, 10**9), min_size=30, max_size=200, unique=True))
def test_folds_follow_each_other_and_hold_about_as_many_answers(folds: int, times: list[int]) -> None:
    edges = fold_edges(np.array(times), folds)
    assert len(edges) == folds + 1
    assert list(edges) == sorted(set(edges))
    counts = np.histogram(times, [min(times), *edges])[0]
    assert counts.sum() == len(times)
    assert counts.max() - counts.min() <= 1


def test_figures_of_a_fold_are_scikit_learns_on_its_rows() -> None:
    random = np.random.default_rng(0)
    times = random.integers(0, 100, 600)
    z, y = random.normal(size=600), (random.random(600) < 0.3).astype(np.float64)
    tested = FoldRows(times, np.arange(600) // 3, z, y)
    found = fold_figures(tested, (20, 50, 90), numbers=False)
    assert len(found) == 2
    for (low, high), figures in zip([(20, 50), (50, 90)], found, strict=True):
        rows = (times >= low) & (times < high)
        assert figures["examples"] == rows.sum()
        assert figures["logloss"] == pytest.approx(oracle.log_loss(y[rows], probabilities(z[rows])))
        assert figures["roc_auc"] == pytest.approx(oracle.roc_auc_score(y[rows], z[rows]))
        assert figures["pr_auc"] == pytest.approx(oracle.average_precision_score(y[rows], z[rows]))
    (numbers,) = fold_figures(tested, (0, 100), numbers=True)
    assert numbers["rmse"] == pytest.approx(oracle.root_mean_squared_error(y, z))


def test_too_short_a_log_is_told() -> None:
    with pytest.raises(InvalidInput, match="too few for 5 folds"):
        fold_edges(np.arange(5), 5)
    with pytest.raises(InvalidInput, match="at one moment"):
        fold_edges(np.zeros(50, np.int64), 2)
    with pytest.raises(InvalidInput, match="1 fold at least"):
        fold_edges(np.arange(5), 0)
    with pytest.raises(InvalidInput, match="no tuning by 'rmse'"):
        direction("rmse", numbers=False)
    assert direction("roc_auc", numbers=False)
