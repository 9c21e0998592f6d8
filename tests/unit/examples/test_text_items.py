"""Items that no example had are ranked better by what their titles say than by nothing; and the model can be served."""

import hashlib

import numpy as np

from examples.text_items.experiment import Tried, cold_logits, mean_group_auc
from examples.text_items.model import MODEL, WIDTH
from trainer_svc.check import check

WORDS = ["jam", "red", "bag", "tin", "cat", "lamp", "bell", "heart"]


def word_vector(word: str) -> np.ndarray:
    """A tiny encoder's: a made-up direction for each word."""
    seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "little")
    return np.random.default_rng(seed).normal(size=WIDTH)


def tastes(users: int = 60, items: int = 40, each: int = 30) -> Tried:
    """Users who like the things that have one of their two words in the title."""
    random = np.random.default_rng(5)
    titles = np.array([random.choice(len(WORDS), 2, replace=False) for _ in range(items)])
    wishes = np.array([random.choice(len(WORDS), 2, replace=False) for _ in range(users)])
    who, what = np.repeat(np.arange(users), each), random.integers(0, items, users * each)
    likes = (titles[what][:, :, None] == wishes[who][:, None, :]).any((1, 2))
    vectors = np.array([sum(word_vector(WORDS[word]) for word in title) for title in titles], np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return Tried(who, what, likes.astype(np.float32), vectors)


def test_titles_rank_what_ids_cannot() -> None:
    tried = tastes()
    areas = {}
    for titles in (False, True):
        logits, groups = cold_logits(tried, titles=titles, folds=4, passes=10, seed=0)
        areas[titles] = mean_group_auc(groups, logits, tried.labels)
    assert abs(areas[False] - 0.5) < 0.01  # one default row for all: nothing to tell them by
    assert areas[True] > 0.65


def test_it_can_be_served() -> None:
    report = check(MODEL)
    assert report.passed, report.render()
