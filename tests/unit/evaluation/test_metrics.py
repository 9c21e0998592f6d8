"""Metrics, each beside scikit-learn or a plain loop."""

import math
import warnings

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as oracle
from sklearn.calibration import calibration_curve

from trainer_svc.evaluation.metrics.calibration import (
    bias,
    expected_calibration_error,
    log_loss,
    normalised_entropy,
    probabilities,
    reliability,
)
from trainer_svc.evaluation.metrics.curves import at_threshold, average_precision, best_f1, pr_curve, roc_auc, roc_curve
from trainer_svc.evaluation.metrics.ranking import (
    average_precision_at,
    coverage,
    hit_rate,
    ndcg,
    ranked,
    reciprocal_rank,
)
from trainer_svc.evaluation.metrics.regression import regression_errors

Doubles = npt.NDArray[np.float64]


@st.composite
def rows(draw: st.DrawFn) -> tuple[Doubles, Doubles, Doubles]:
    """Logits with ties, labels of both kinds, weights of which some are 0."""
    size = draw(st.integers(2, 60))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    logits = random.integers(-4, 5, size) / draw(st.sampled_from([1.0, 2.0, 3.7]))
    labels = (random.random(size) < 0.4).astype(np.float64)
    labels[:2] = (0.0, 1.0)
    weights = random.choice([0.0, 0.5, 1.0, 3.0], size)
    weights[:2] = 1.0
    return logits, labels, weights


@given(rows())
def test_areas_are_scikit_learns(given_rows: tuple[Doubles, Doubles, Doubles]) -> None:
    z, y, w = given_rows
    assert roc_auc(z, y, w) == pytest.approx(oracle.roc_auc_score(y, z, sample_weight=w))
    assert average_precision(z, y, w) == pytest.approx(oracle.average_precision_score(y, z, sample_weight=w))


@given(rows())
def test_curves_are_scikit_learns(given_rows: tuple[Doubles, Doubles, Doubles]) -> None:
    z, y, _ = given_rows
    curve = roc_curve(z, y)
    fpr, tpr, at = oracle.roc_curve(y, z, drop_intermediate=False)
    np.testing.assert_allclose(curve.x, fpr)
    np.testing.assert_allclose(curve.y, tpr)
    np.testing.assert_allclose(curve.thresholds, at)
    precision, recall, thresholds = oracle.precision_recall_curve(y, z)
    own = pr_curve(z, y)
    np.testing.assert_allclose(own.x[::-1], recall[:-1])
    np.testing.assert_allclose(own.y[::-1], precision[:-1])
    np.testing.assert_allclose(own.thresholds[::-1], thresholds)


@given(rows(), st.floats(-3, 3))
def test_one_threshold_is_scikit_learns(given_rows: tuple[Doubles, Doubles, Doubles], threshold: float) -> None:
    z, y, w = given_rows
    found, called = at_threshold(z, y, threshold, w), z >= threshold
    assert found.accuracy == pytest.approx(oracle.accuracy_score(y, called, sample_weight=w))
    for name, theirs in (("precision", oracle.precision_score), ("recall", oracle.recall_score)):
        wanted = theirs(y, called, sample_weight=w, zero_division=np.nan)
        assert getattr(found, name) == pytest.approx(wanted, nan_ok=True)
    assert found.f1 == pytest.approx(oracle.f1_score(y, called, sample_weight=w, zero_division=np.nan), nan_ok=True)


@given(rows())
def test_no_threshold_has_a_higher_f1_than_the_best(given_rows: tuple[Doubles, Doubles, Doubles]) -> None:
    z, y, w = given_rows
    best = best_f1(z, y, w)
    assert best is not None
    every = [at_threshold(z, y, float(threshold), w).f1 for threshold in np.unique(z)]
    assert best.f1 == pytest.approx(np.nanmax(every))
    assert at_threshold(z, y, best.threshold, w).f1 == pytest.approx(best.f1)


@given(rows())
def test_losses_are_scikit_learns(given_rows: tuple[Doubles, Doubles, Doubles]) -> None:
    z, y, w = given_rows
    p = probabilities(z)
    assert log_loss(z, y, w) == pytest.approx(oracle.log_loss(y, p, sample_weight=w))
    constant = np.full(y.shape, np.average(y, weights=w))
    if 0.0 < constant[0] < 1.0:
        entropy = oracle.log_loss(y, constant, sample_weight=w)
        assert normalised_entropy(z, y, w) == pytest.approx(oracle.log_loss(y, p, sample_weight=w) / entropy)
    assert bias(p, y, w) == pytest.approx(np.average(p, weights=w) / np.average(y, weights=w))


@given(st.integers(1, 8), st.integers(1, 9), st.integers(0, 2**32))
def test_reliability_over_equal_masses_is_scikit_learns(bins: int, each: int, seed: int) -> None:
    """Where the rows divide evenly and no two are tied, quantile bins are bins of equal mass."""
    random = np.random.default_rng(seed)
    chances = random.permutation(np.arange(1, bins * each + 1) / (bins * each + 1.0))
    labels = (random.random(bins * each) < chances).astype(np.float64)
    found = reliability(chances, labels, bins=bins)
    actual, predicted = calibration_curve(labels, chances, n_bins=bins, strategy="quantile")
    if each > 1:  # a percentile may fall on a row: then theirs puts it one bin lower
        assert found.mass.tolist() == pytest.approx([1.0 / bins] * bins)
        ordered = np.sort(chances).reshape(bins, each)
        assert found.predicted.tolist() == pytest.approx(ordered.mean(axis=1).tolist())
    if actual.shape == found.actual.shape and np.allclose(predicted, found.predicted):
        np.testing.assert_allclose(found.actual, actual)


@given(rows(), st.integers(1, 20))
def test_calibration_does_not_depend_on_the_order_of_rows(
    given_rows: tuple[Doubles, Doubles, Doubles], bins: int
) -> None:
    z, y, w = given_rows
    p = probabilities(z)
    back = slice(None, None, -1)
    error = expected_calibration_error(p, y, w, bins)
    assert error == pytest.approx(expected_calibration_error(p[back], y[back], w[back], bins))
    assert abs(np.average(p, weights=w) - np.average(y, weights=w)) <= error + 1e-9


@given(st.integers(2, 50), st.integers(0, 2**32))
def test_regression_errors_are_scikit_learns(size: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    y, f, w = random.normal(3.0, 1.0, size), random.normal(3.0, 1.0, size), random.uniform(0.1, 2.0, size)
    found = regression_errors(f, y, w)
    assert found.mse == pytest.approx(oracle.mean_squared_error(y, f, sample_weight=w))
    assert found.rmse == pytest.approx(oracle.root_mean_squared_error(y, f, sample_weight=w))
    assert found.mae == pytest.approx(oracle.mean_absolute_error(y, f, sample_weight=w))
    assert found.r2 == pytest.approx(oracle.r2_score(y, f, sample_weight=w))


@st.composite
def answers(draw: st.DrawFn) -> tuple[list[tuple[Doubles, Doubles]], int]:
    """Answers of some items each, with scores that may be tied and gains; and a k."""
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    sizes = draw(st.lists(st.integers(2, 9), min_size=1, max_size=8))
    made = [(random.integers(0, 5, n) / 2.0, random.choice([0.0, 0.0, 1.0, 3.0], n)) for n in sizes]
    return made, draw(st.integers(1, 10))


def together(made: list[tuple[Doubles, Doubles]], seed: int) -> tuple[Doubles, Doubles, npt.NDArray[np.int64]]:
    """All rows, shuffled."""
    groups = np.repeat(np.arange(len(made)), [len(scores) for scores, _ in made])
    order = np.random.default_rng(seed).permutation(groups.shape[0])
    return np.concatenate([s for s, _ in made])[order], np.concatenate([g for _, g in made])[order], groups[order]


@given(answers())
def test_ndcg_is_scikit_learns_ties_and_all(given_answers: tuple[list[tuple[Doubles, Doubles]], int]) -> None:
    made, k = given_answers
    scores, gains, groups = together(made, k)
    found = ndcg(ranked(scores, gains, groups, len(made)), k)
    for own, (s, g) in zip(found.tolist(), made, strict=True):
        wanted = oracle.ndcg_score([g], [s], k=k) if g.any() else math.nan
        assert own == pytest.approx(wanted, nan_ok=True)


@given(answers())
def test_the_other_orders_are_what_a_loop_says(given_answers: tuple[list[tuple[Doubles, Doubles]], int]) -> None:
    made, k = given_answers
    scores, gains, groups = together(made, k)
    rows_ = ranked(scores, gains, groups, len(made))
    for group in range(len(made)):
        mine = np.flatnonzero(groups == group)
        order = sorted(mine.tolist(), key=lambda row: (-scores[row], row))
        hits = [rank for rank, row in enumerate(order) if gains[row] > 0.0]
        figures = (hit_rate(rows_, k)[group], reciprocal_rank(rows_)[group], average_precision_at(rows_, k)[group])
        if not hits:
            assert all(math.isnan(figure) for figure in figures)
            continue
        precisions = [(number + 1) / (rank + 1) for number, rank in enumerate(hits) if rank < k]
        assert figures[0] == float(hits[0] < k)
        assert figures[1] == pytest.approx(1.0 / (hits[0] + 1))
        assert figures[2] == pytest.approx(sum(precisions) / min(k, len(hits)))


def test_coverage_counts_distinct_items_at_the_top() -> None:
    scores, groups = np.array([3.0, 2.0, 1.0, 1.0, 2.0]), np.array([0, 0, 0, 1, 1])
    items = np.array([7, 8, 9, 9, 7])
    found = ranked(scores, np.zeros(5), groups, 2)
    assert coverage(found, items, 1, 10) == 0.1
    assert coverage(found, items, 2, 10) == 0.3
    assert math.isnan(coverage(found, items, 2, 0))


@given(rows())
@settings(max_examples=30)
def test_a_weight_counts_like_so_many_rows(given_rows: tuple[Doubles, Doubles, Doubles]) -> None:
    z, y, _ = given_rows
    times = np.arange(z.shape[0]) % 3 + (np.arange(z.shape[0]) < 2)
    many = [np.repeat(part, times) for part in (z, y)]
    for metric in (roc_auc, average_precision, log_loss, normalised_entropy):
        assert metric(z, y, times) == pytest.approx(metric(*many), nan_ok=True)
    p, q = probabilities(z), probabilities(many[0])
    assert expected_calibration_error(p, y, times) == pytest.approx(expected_calibration_error(q, many[1]))


def test_without_rows_or_with_one_kind_only_there_is_no_figure_and_no_warning() -> None:
    none, ones = np.zeros(0), np.ones(3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for metric in (roc_auc, average_precision, log_loss, normalised_entropy, bias, expected_calibration_error):
            assert math.isnan(metric(none, none))
        assert math.isnan(roc_auc(ones, ones))
        assert math.isnan(normalised_entropy(ones, ones))
        assert math.isnan(average_precision(ones, np.zeros(3)))
        assert best_f1(ones, np.zeros(3)) is None
        assert math.isnan(regression_errors(none, none).mse)
        assert regression_errors(ones, ones).mse == 0.0
        assert math.isnan(regression_errors(ones, ones).r2)
        assert hit_rate(ranked(none, none, none.astype(np.int64), 0), 5).shape == (0,)
