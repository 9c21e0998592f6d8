"""Figures of streams against exact ones: quantiles, moments, frequent ids, first occurrences, last values."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer_svc.hygiene.last_values import LastValues
from trainer_svc.hygiene.quantile_sketch import ERROR, QuantileSketch
from trainer_svc.hygiene.running_moments import RunningMoments
from trainer_svc.hygiene.seen_ids import SeenIds
from trainer_svc.hygiene.top_ids import COUNTERS, TopIds

SHARES = np.array([0.01, 0.25, 0.5, 0.9, 0.999])


@given(st.integers(0, 2**32), st.sampled_from([0.1, 1.0, 2.0]), st.sampled_from([-3.0, 0.0, 5.0]))
@settings(max_examples=40, deadline=None)
def test_quantiles_are_within_the_relative_error(seed: int, spread: float, shift: float) -> None:
    numbers = (np.random.default_rng(seed).lognormal(0, spread, (3000, 2)) + shift) * [1.0, -1.0]
    sketch = QuantileSketch(2)
    for part in np.array_split(numbers, 7):
        sketch.add(part)
    exact = np.quantile(numbers, SHARES, axis=0, method="inverted_cdf").T
    np.testing.assert_allclose(sketch.quantiles(SHARES), exact, rtol=1.01 * ERROR, atol=2e-6)


def test_older_numbers_fade_from_quantiles_and_means() -> None:
    sketch, moments = QuantileSketch(1, memory=100), RunningMoments(1, memory=100)
    for level in (1.0, 9.0):
        for _ in range(20):
            numbers = np.full((100, 1), level)
            sketch.add(numbers)
            moments.add(numbers, slice(0, 1))
            sketch.age(100)
            moments.age(100)
    assert sketch.quantiles(np.array([0.01]))[0, 0] == pytest.approx(9.0, rel=ERROR)
    assert moments.mean[0] == pytest.approx(9.0, rel=1e-4)


@given(st.integers(0, 2**32))
@settings(max_examples=30, deadline=None)
def test_moments_are_numpys_and_missing_numbers_are_passed_over(seed: int) -> None:
    dice = np.random.default_rng(seed)
    numbers = dice.normal(5, 3, (200, 3))
    numbers[dice.random(numbers.shape) < 0.3] = np.nan
    moments = RunningMoments(3)
    for part in np.array_split(numbers, 9):
        moments.add(part, slice(0, 3))
    np.testing.assert_allclose(moments.mean, np.nanmean(numbers, 0))
    np.testing.assert_allclose(moments.deviation, np.nanstd(numbers, 0))
    np.testing.assert_allclose(moments.count, (~np.isnan(numbers)).sum(0))


@given(st.integers(0, 2**32))
@settings(max_examples=20, deadline=None)
def test_every_frequent_id_is_known_and_no_count_is_too_high(seed: int) -> None:
    ids = np.random.default_rng(seed).zipf(1.3, 5000).astype(np.int64)
    top, exact = TopIds(), Counter(ids.tolist())
    for part in np.array_split(ids, 20):
        top.add(part)
    found = dict(top.top(COUNTERS))
    for name, count in exact.items():
        if count > len(ids) / (COUNTERS + 1):
            assert count - len(ids) / (COUNTERS + 1) <= found[name] <= count
    assert all(count <= exact[name] for name, count in found.items())


def test_an_id_is_new_once_in_each_space() -> None:
    seen = SeenIds()
    ids = np.arange(1000)
    assert seen.see(ids, 0).mean() > 0.99
    assert not seen.see(ids, 0).any()
    assert seen.see(ids, 1).mean() > 0.99
    assert seen.fill == pytest.approx(2000 / (1 << 22), rel=0.01)


def test_the_last_known_value_of_a_key_fills_a_gap() -> None:
    last = LastValues()
    keys = np.array([1, 2, 1, 3])
    first = last.fill(keys, np.array([10.0, np.nan, 11.0, np.nan], np.float32))
    np.testing.assert_array_equal(first, [10.0, np.nan, 11.0, np.nan])
    second = last.fill(keys, np.array([np.nan, 5.0, np.nan, np.nan], np.float32))
    np.testing.assert_array_equal(second, [11.0, 5.0, 11.0, np.nan])
