"""Will this user like this film? MovieLens 100K as a stream of examples."""

from collections import deque
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

import martlet.learn as ml
from benchmarks.learning.examples import Column, Examples, Lists
from benchmarks.learning.past_means import NO_KEY
from benchmarks.learning.publishing import Stream
from benchmarks.learning.rating_log import RatingLog, movielens

Int64s = npt.NDArray[np.int64]
LIKED: Final = 4.0
RECENT: Final = 10


@dataclass(frozen=True, slots=True, eq=False)
class Liking:
    """A log to learn from and to be tested on.

    Attributes:
        batch: examples in a batch when much is learned at once.
        users: int64[n], whose the examples are.
        groups: int64[n], which examples are ranked among one another.
    """

    model: ml.Model
    stream: Stream
    users: Int64s
    groups: Int64s
    batch: int = 64


def liking(tested: float, seed: int) -> Liking:
    """A DeepFM on who the user is, what they liked last, and what the film is; the last share of the log is tested."""
    log = movielens()
    model = _model(seed)
    examples = Examples(model.spec, columns_of(log), (log.ratings >= LIKED).astype(np.float32))
    return Liking(model, Stream(examples, log.times, int(len(examples) * (1 - tested))), log.users, log.users)


def columns_of(log: RatingLog) -> dict[str, Column]:
    """What the model reads of each rating. What the user liked last is known from earlier ratings."""
    return {
        "user": log.users,
        "item": log.items,
        "group": log.groups,
        "occupation": log.occupations,
        "genres": Lists(log.genres, (log.genres != NO_KEY).sum(1)),
        "year": log.years,
        "recent": recently_liked(log.users, log.items, log.ratings >= LIKED),
    }


def recently_liked(users: Int64s, items: Int64s, liked: npt.NDArray[np.bool_]) -> Lists:
    """The last items that each example's user liked before it, the latest first."""
    ids, counts = np.zeros((len(users), RECENT), np.int64), np.zeros(len(users), np.int64)
    known: dict[int, deque[int]] = {}
    for place, (user, item) in enumerate(zip(users.tolist(), items.tolist(), strict=True)):
        recent = known.setdefault(user, deque(maxlen=RECENT))
        counts[place] = len(recent)
        ids[place, : len(recent)] = list(recent)
        if liked[place]:
            recent.appendleft(item)
    return Lists(ids, counts)


def _model(seed: int) -> ml.Model:
    return ml.model_of(
        "movielens",
        ml.DeepFM,
        inputs={
            "user": ml.Id("user_id", space=f"user-{seed}"),
            "item": ml.Id("item_id", space=f"item-{seed}"),
            "group": ml.Id("group"),
            "occupation": ml.Id("occupation"),
            "genres": ml.IdList("item.genres", max_len=6, pool="mean"),
            "year": ml.Id("item.year"),
            "recent": ml.IdList("recent_items", space=f"recent-{seed}", max_len=RECENT, pool="mean"),
        },
        label=ml.Binary("rating", window="60s", explicit=True, threshold=LIKED),
        dense=ml.Adam(1e-3),
        rows=ml.RowWiseAdaGrad(0.05),
        dim=8,
        hidden=(32,),
    )
