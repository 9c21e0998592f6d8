"""The bootstrap over users: what it resamples, and the areas that it weighs."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.learning import intervals
from trainer_svc.prequential import area_under_curve

SCORED = st.lists(st.tuples(st.booleans(), st.integers(0, 5), st.integers(0, 3)), min_size=2, max_size=40).filter(
    lambda rows: len({row[0] for row in rows}) == 2
)


@settings(deadline=None)
@given(SCORED)
def test_a_weighted_area_is_that_of_the_events_repeated(rows: list[tuple[bool, int, int]]) -> None:
    labels, scores, weights = (np.array(column, np.float64) for column in zip(*rows, strict=True))
    repeated = np.repeat(np.arange(len(rows)), weights.astype(int))
    expected = area_under_curve(scores[repeated], labels[repeated]) if len(repeated) else np.nan
    found = intervals.WeightedAuc(labels, scores).of(weights)
    assert np.isclose(found, 0.5 if np.isnan(expected) else expected)
    assert np.isclose(intervals.auc(labels, scores), area_under_curve(scores, labels))


def test_an_interval_holds_the_mean_about_as_often_as_it_says() -> None:
    random, held = np.random.default_rng(3), 0
    for _ in range(200):
        users = np.repeat(np.arange(60), 5)
        values = np.repeat(random.normal(1.0, 1.0, 60), 5) + random.normal(0, 0.1, 300)
        low, high = intervals.of_mean(users, values, resamples=200)
        held += low <= 1.0 <= high
    assert 0.88 * 200 <= held <= 200  # events taken for independent would hold it in fewer than two thirds


def test_a_gain_over_itself_is_nothing() -> None:
    random = np.random.default_rng(1)
    labels, scores = random.integers(0, 2, 100).astype(float), random.random(100)
    assert intervals.of_auc_gain(np.arange(100) // 5, labels, scores, scores, resamples=20) == (0.0, 0.0)
