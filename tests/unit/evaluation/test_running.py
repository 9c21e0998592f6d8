"""Running quality: figures of a window and fading ones, beside those of the examples themselves."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as oracle

from trainer_svc.evaluation.metrics.calibration import (
    bias,
    expected_calibration_error,
    normalised_entropy,
    probabilities,
)
from trainer_svc.evaluation.running import RunningQuality
from trainer_svc.evaluation.score_sums import CALIBRATION_ERROR, figures_of, sums_of

Doubles = npt.NDArray[np.float64]


def examples(seed: int, size: int, spread: float = 1.5) -> tuple[Doubles, Doubles]:
    random = np.random.default_rng(seed)
    logits = random.normal(-1.0, spread, size)
    labels = (random.random(size) < probabilities(logits)).astype(np.float64)
    labels[:2] = (0.0, 1.0)
    return logits, labels


@given(st.integers(0, 2**32), st.integers(2, 400), st.sampled_from([0.01, 0.3, 1.5, 30.0]))
def test_a_histograms_area_is_wrong_by_no_more_than_it_says(seed: int, size: int, spread: float) -> None:
    z, y = examples(seed, size, spread)
    found = figures_of(sums_of(z, y, np.ones(size), numbers=False))
    assert abs(found["auc"] - oracle.roc_auc_score(y, z)) <= found["auc_error"] + 1e-12
    assert found["logloss"] == pytest.approx(float(np.mean(np.logaddexp(0.0, z) - y * z)))
    assert found["normalised_entropy"] == pytest.approx(normalised_entropy(z, y))
    assert found["bias"] == pytest.approx(bias(probabilities(z), y))


def test_calibration_from_a_histogram_is_close() -> None:
    z, y = examples(1, 50_000)
    z = z + 0.5
    found = figures_of(sums_of(z, y, np.ones(50_000), numbers=False))
    exact = expected_calibration_error(probabilities(z), y)
    assert found["ece"] == pytest.approx(exact, abs=2.0 * CALIBRATION_ERROR)
    assert exact > 0.05


@given(st.lists(st.integers(0, 40), min_size=1, max_size=30), st.integers(0, 2**32))
def test_the_window_holds_what_is_not_older(gaps: list[int], seed: int) -> None:
    """Whatever the gaps: all of the newest pane and of the panes - 1 before it, nothing older."""
    running, time_us, told = RunningQuality(window_us=60, panes=6), 1000, list[tuple[int, Doubles, Doubles]]()
    for number, gap in enumerate(gaps):
        time_us += gap
        z, y = examples(seed + number, 5)
        running.update(z, y, time_us)
        told.append((time_us // 10, z, y))
    held = [(z, y) for pane, z, y in told if pane > told[-1][0] - 6]
    z, y = (np.concatenate(parts) for parts in zip(*held, strict=True))
    found = running.get()
    assert found["window_logloss"] == pytest.approx(float(np.mean(np.logaddexp(0.0, z) - y * z)))
    assert abs(found["window_auc"] - oracle.roc_auc_score(y, z)) <= found["window_auc_error"] + 1e-12


@given(st.lists(st.integers(1, 9), min_size=1, max_size=10), st.integers(0, 2**32))
def test_fading_figures_weigh_by_age_however_examples_come(sizes: list[int], seed: int) -> None:
    z, y = examples(seed, sum(sizes) + 2)
    running, start = RunningQuality(fading_examples=7.0), 0
    for size in (2, *sizes):
        running.update(z[start : start + size], y[start : start + size], 1)
        start += size
    age = (1.0 - 1.0 / 7.0) ** np.arange(z.shape[0] - 1, -1, -1)
    found = running.get()
    assert found["fading_logloss"] == pytest.approx(np.average(np.logaddexp(0.0, z) - y * z, weights=age))
    auc = oracle.roc_auc_score(y, z, sample_weight=age)
    assert abs(found["fading_auc"] - auc) <= found["fading_auc_error"] + 1e-9


def test_numbers_have_errors() -> None:
    random = np.random.default_rng(3)
    y, f = random.normal(5.0, 2.0, 300), random.normal(5.0, 2.0, 300)
    running = RunningQuality(numbers=True)
    running.update(f[:100], y[:100], 5)
    running.update(f[100:], y[100:], 6)
    found = running.get()
    assert found["window_rmse"] == pytest.approx(oracle.root_mean_squared_error(y, f))
    assert found["window_mae"] == pytest.approx(oracle.mean_absolute_error(y, f))
    assert found["window_r2"] == pytest.approx(oracle.r2_score(y, f))
    assert "window_auc" not in found


@pytest.mark.parametrize("numbers", [False, True])
def test_a_restored_one_goes_on_bit_for_bit(*, numbers: bool) -> None:
    one, other = (RunningQuality(numbers=numbers, window_us=60) for _ in range(2))
    for number in range(10):
        z, y = examples(number, 8)
        one.update(z, y, number * 25, np.full(8, 0.5))
        again = RunningQuality(numbers=numbers, window_us=60)
        again.restore(other.state())
        other = again
        other.update(z, y, number * 25, np.full(8, 0.5))
    for name, array in one.state().items():
        np.testing.assert_array_equal(array, other.state()[name])
    assert one.get() == other.get()


def test_what_an_older_release_kept_is_a_beginning() -> None:
    running = RunningQuality()
    running.update(*examples(0, 5), 7)
    running.restore({})
    assert running.get() == {}


def test_time_that_goes_back_counts_as_now() -> None:
    running = RunningQuality(window_us=60)
    running.update(*examples(0, 5), 1000)
    running.update(*examples(1, 5), 10)
    assert running.get()["window_logloss"] > 0.0
    assert int(running.state()["panes"].max()) == 100
