"""Detectors: river's alarms, all of them and no other; state; the shuffled and the shifted stream."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import drift
from scipy import stats

from martlet.errors import InvalidInput
from trainer_svc.drift.adwin import Adwin
from trainer_svc.drift.detector import Detector
from trainer_svc.drift.kswin import Kswin, critical_distance, p_value
from trainer_svc.drift.mersenne_twister import pool_limit, sample, seeded
from trainer_svc.drift.page_hinkley import PageHinkley

Doubles = npt.NDArray[np.float64]
PAIRS: dict[str, tuple[Callable[[], Detector], Callable[[], Any], int]] = {
    "adwin": (Adwin, drift.ADWIN, 40_000),
    "adwin, each number": (lambda: Adwin(0.1, 1, 3, 2, 5), lambda: drift.ADWIN(0.1, 1, 3, 2, 5), 20_000),
    "adwin, rare": (lambda: Adwin(1e-5, 256), lambda: drift.ADWIN(1e-5, 256), 40_000),
    "page_hinkley": (PageHinkley, drift.PageHinkley, 40_000),
    "page_hinkley, often": (lambda: PageHinkley(5.0), lambda: drift.PageHinkley(threshold=5.0), 40_000),
    "kswin": (Kswin, lambda: drift.KSWIN(seed=1), 3000),
    "kswin, long": (lambda: Kswin(0.02, 300, 20, 5), lambda: drift.KSWIN(0.02, 300, 20, seed=5), 3000),
}


def stream(seed: int, count: int) -> Doubles:
    """Stretches of other distributions: smooth, yes or no, heavy, constant."""
    random_numbers = np.random.default_rng(seed)
    parts: list[Doubles] = []
    while sum(map(len, parts)) < count:
        n, mean = int(random_numbers.integers(50, 3000)), float(random_numbers.random())
        makers: list[Callable[[], Doubles]] = [
            lambda: np.clip(random_numbers.normal(mean, 0.2, n), 0, 1),  # noqa: B023  called at once
            lambda: (random_numbers.random(n) < mean).astype(np.float64),  # noqa: B023
            lambda: random_numbers.exponential(mean, n),  # noqa: B023
            lambda: np.full(n, round(mean, 1)),  # noqa: B023
        ]
        parts.append(makers[int(random_numbers.integers(4))]())
    return np.concatenate(parts)[:count]


def rivers(detector: Any, values: Doubles) -> npt.NDArray[np.bool_]:
    alarms = []
    for value in values.tolist():
        detector.update(value)
        alarms.append(detector.drift_detected)
    return np.array(alarms)


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("name", PAIRS)
def test_every_alarm_is_rivers(name: str, seed: int) -> None:
    own, other, count = PAIRS[name]
    values = stream(seed, count)
    mine, detector = own(), other()
    alarms = np.concatenate([mine.update(part) for part in np.array_split(values, 17)])
    wanted = rivers(detector, values)
    assert wanted.sum() > 0
    np.testing.assert_array_equal(alarms != 0, wanted)


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("sign", [1, -1])
def test_an_alarm_says_where_the_mean_went(name: str, sign: int) -> None:
    dice = np.random.default_rng(0)
    values = np.concatenate([dice.normal(0.3, 0.05, 1500), dice.normal(0.7, 0.05, 1500)])
    alarms = PAIRS[name][0]().update(values if sign > 0 else 1 - values)
    found = alarms[1500:1700][alarms[1500:1700] != 0]
    assert found.size > 0 or name == "page_hinkley"
    assert (found[:1] == sign).all()


@pytest.mark.parametrize("name", PAIRS)
def test_a_restored_detector_goes_on_as_if_there_had_been_no_break(name: str) -> None:
    own, _, count = PAIRS[name]
    values = stream(3, count)
    whole, first, second = own(), own(), own()
    wanted = whole.update(values)
    head = first.update(values[: count // 3])
    second.restore({key: array.copy() for key, array in first.state().items()})
    np.testing.assert_array_equal(np.concatenate([head, second.update(values[count // 3 :])]), wanted)
    for key, array in whole.state().items():
        np.testing.assert_array_equal(array, second.state()[key])


@given(st.integers(0, 2**40), st.integers(1, 60), st.integers(0, 400), st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_draws_are_pythons(seed: int, count: int, more: int, rounds: int) -> None:
    things = count + more
    words, python = seeded(seed), random.Random(seed)
    chosen, pool = np.empty(count, np.int64), np.empty(things, np.int64)
    for _ in range(rounds):
        sample(words, things, pool, pool_limit(count), chosen)
        assert chosen.tolist() == python.sample(range(things), count)


@pytest.mark.parametrize("size", [5, 30, 100])
def test_the_p_value_is_scipys(size: int) -> None:
    one = np.arange(size, dtype=float)
    for distance in range(1, size + 1):
        other = one + distance - 0.5  # `distance` of them are above all that is left behind
        own = float(p_value(size, distance))
        if own < 0.5:  # nearer to 1 scipy's rounding takes it beyond
            found = stats.ks_2samp(one, other, method="exact")
            assert round(found.statistic * size) == distance
            assert own == pytest.approx(found.pvalue, rel=1e-9)


def test_a_critical_distance_is_the_least_alarm() -> None:
    least = critical_distance(100, 1e-6)
    assert p_value(100, least) <= 1e-6 < p_value(100, least - 1)
    assert critical_distance(5, 1e-9) == 6  # none


def test_a_window_too_short_to_draw_from_is_refused() -> None:
    with pytest.raises(InvalidInput, match="too short"):
        Kswin(window=50, stat=30)
