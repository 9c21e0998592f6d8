"""Retrieval's mathematics: what is found, and how well a bilinear copy follows a ranker."""

import numpy as np
import pytest

from serving_svc.retrieval import Landmarks, nearest, solver
from serving_svc.retrieval_fit import WIDTH, fit_projection

RANDOM = np.random.default_rng(5)


@pytest.mark.parametrize("n", [1, 7, 300])
@pytest.mark.parametrize("count", [1, 5, 300, 1000])
def test_the_nearest_are_those_that_sorting_gives(n: int, count: int) -> None:
    vectors, user = RANDOM.normal(size=(n, 3)).astype(np.float32), np.array([1, -2, 0.5], np.float32)
    allowed = RANDOM.random(n) < 0.7
    scratch = np.full(n + 4, np.nan, np.float32)
    scores = np.where(allowed, vectors @ user, -np.inf)
    expected = [slot for slot in np.argsort(-scores).tolist()[:count] if allowed[slot]]
    assert sorted(nearest(vectors, user, allowed, count, scratch).tolist()) == sorted(expected)


def test_a_users_vector_is_found_from_the_landmarks_logits() -> None:
    vectors = RANDOM.normal(size=(128, WIDTH)).astype(np.float32)
    user = RANDOM.normal(size=WIDTH).astype(np.float32)
    landmarks = Landmarks(np.zeros((128, 0), np.int64), np.zeros((128, 0), np.float32), solver(vectors))
    np.testing.assert_allclose(landmarks.user_vector(vectors @ user + 7), user, atol=1e-3)


def test_landmarks_that_are_all_alike_give_a_finite_vector() -> None:
    landmarks = Landmarks(np.zeros((9, 0), np.int64), np.zeros((9, 0), np.float32), solver(np.ones((9, 3), np.float32)))
    assert np.isfinite(landmarks.user_vector(np.arange(9, dtype=np.float32))).all()


def test_few_directions_of_many_features_are_found() -> None:
    """Logits hang on 6 of 60 features' directions; the other 54 vary ten times as much and must not crowd them out."""
    features = RANDOM.normal(size=(2000, 60)).astype(np.float32) * np.where(np.arange(60) < 6, 1.0, 10.0)
    features = features.astype(np.float32)
    mix = RANDOM.normal(size=(6, 6)).astype(np.float32)
    logits = features[:, :6] @ mix @ RANDOM.normal(size=(6, 40)).astype(np.float32)
    vectors = fit_projection(features, logits).vectors(features)
    assert vectors.shape == (2000, WIDTH)
    fresh = features[:, :6] @ mix @ RANDOM.normal(size=6).astype(np.float32)  # a user that was not among the 40
    found, *_ = np.linalg.lstsq(np.column_stack([vectors, np.ones(2000)]), fresh, rcond=None)
    left = fresh - np.column_stack([vectors, np.ones(2000)]) @ found
    assert left.std() < 0.02 * fresh.std()


def test_constant_and_few_features_are_no_trouble() -> None:
    features = np.column_stack([np.ones(50), np.arange(50)]).astype(np.float32)
    projection = fit_projection(features, np.zeros((50, 3), np.float32))
    vectors = projection.vectors(features)
    assert vectors.shape == (50, WIDTH)
    assert np.isfinite(vectors).all()
    assert np.linalg.matrix_rank(vectors - vectors.mean(axis=0)) == 1
