"""What moves an answer far depends on what answers are."""

import numpy as np
import pytest

from martlet.answer_shift import logit_shifts, number_shifts


def test_log_odds_are_their_own_unit() -> None:
    assert logit_shifts(np.array([1.0, -2.0], np.float32), np.array([1.5, 0.0], np.float32)).tolist() == [0.5, 2.0]


@pytest.mark.parametrize("unit", [1.0, 60.0, 1e-3])
def test_of_numbers_the_unit_does_not_matter(unit: float) -> None:
    given = np.random.default_rng(0).normal(30, 10, 1000)
    shifts = number_shifts(given * unit, (given + 10) * unit)
    np.testing.assert_allclose(shifts, 10 / given.std(), rtol=1e-9)


def test_of_answers_that_hardly_vary_a_hundredth_of_their_size_is() -> None:
    assert number_shifts(np.full(4, 50.0), np.full(4, 51.0)).tolist() == pytest.approx([2.0] * 4)
    assert number_shifts(np.zeros(4), np.ones(4)).tolist() == [0.0] * 4
