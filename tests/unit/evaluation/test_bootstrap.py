"""Intervals by resampling users, beside what theory says of a mean."""

import math

import numpy as np
import pytest

from trainer_svc.evaluation.bootstrap import Counts, draws_of_users, with_intervals


def test_the_interval_of_a_mean_is_about_the_normal_one() -> None:
    random = np.random.default_rng(0)
    of_user = random.normal(size=400)
    values = np.repeat(of_user, 5)  # a user's rows are alike: only users are independent
    users = np.repeat(np.arange(400), 5)

    def figures(counts: Counts | None) -> dict[str, float]:
        return {"mean": float(np.average(values, weights=None if counts is None else counts[users]))}

    found = with_intervals(figures, 400, 2000, 1)["mean"]
    half = 1.96 * of_user.std() / math.sqrt(400)
    assert found.value == pytest.approx(of_user.mean())
    assert found.low == pytest.approx(of_user.mean() - half, abs=0.1 * half)
    assert found.high == pytest.approx(of_user.mean() + half, abs=0.1 * half)


def test_each_draw_has_as_many_users_and_seeds_repeat() -> None:
    one, other = (list(draws_of_users(7, 5, 3)) for _ in range(2))
    assert all(draw.sum() == 7 for draw in one)
    np.testing.assert_array_equal(one, other)


def test_without_several_users_or_draws_or_a_figure_there_is_no_interval() -> None:
    assert with_intervals(lambda _: {"x": 1.0}, 1, 50, 0)["x"].low is None
    assert with_intervals(lambda _: {"x": 1.0}, 9, 0, 0)["x"].low is None
    assert with_intervals(lambda _: {"x": math.nan}, 9, 50, 0)["x"].value is None


def test_a_figure_that_most_draws_lack_has_no_interval() -> None:
    """Those that have it are the lucky ones."""
    found = with_intervals(lambda counts: {"x": 1.0 if counts is None or counts[0] else math.nan}, 9, 50, 0)["x"]
    assert (found.value, found.low) == (1.0, None)
