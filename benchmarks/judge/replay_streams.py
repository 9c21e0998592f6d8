"""Real logs as streams of labelled events, in the demo's interleaved order. The repository keeps none of them."""

from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from martlet.errors import MartletError
from martlet.replay.datasets import Dataset, Rating, interleaved, movielens_100k
from martlet.replay.traffic import LIKED

EVENTS = 100_000
"""A stream has so many at most."""

Ids = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

CACHE = Path(".cache/datasets")
RETAIL = CACHE / "online_retail.parquet"
NOT_GOODS = ("POSTAGE", "Manual", "Discount", "CARRIAGE", "DOTCOM POSTAGE", "CRUK Commission", "Bank Charges")


@dataclass(frozen=True, slots=True)
class Stream:
    """Events in the order in which they are answered.

    Attributes:
        users: int64[n], whose event it is.
        rows: int64[n, fields], rows of one table, each field in its own range; field 0 is the user, 1 the item.
        swapped: the same, but the user's number stands in the item's range and the item's in the user's.
        labels: int64[n], 0 or 1.
        segment: which events belong to the segment that segment faults touch.
        half: bool[table rows], the rows of every second item.
    """

    users: Ids
    rows: Ids
    swapped: Ids
    labels: Ids
    segment: Flags
    half: Flags


def movielens(seed: int) -> Stream | None:
    """Liked (4 stars or more) or not; the segment is science fiction. None: not there, and no network."""
    try:
        dataset = movielens_100k(CACHE)
    except MartletError:
        return None
    ratings = list(islice(interleaved(dataset.ratings, seed=seed), EVENTS))
    columns = _columns(dataset, ratings)
    labels = np.array([rating.rating >= LIKED for rating in ratings], dtype=np.int64)
    segment = np.array(["Sci-Fi" in _genres(dataset, rating) for rating in ratings])
    return _stream(columns, labels, segment)


def online_retail(seed: int) -> Stream | None:
    """Bought (1) or an item drawn evenly from all that this customer never bought (0), one for each purchase.

    The segment is the customers outside the United Kingdom. None: the file or pyarrow is not there.
    """
    if not RETAIL.exists() or find_spec("pyarrow") is None:
        return None
    bought, countries = _purchases()
    rng = np.random.default_rng(seed)
    items = 1 + max(rating.item for rating in bought)
    owned = {(rating.user, rating.item) for rating in bought}
    events = []
    for rating in islice(interleaved(tuple(bought), seed=seed), EVENTS // 2):
        pair = [(rating.user, rating.item, 1), (rating.user, _not_owned(rng, rating.user, owned, items), 0)]
        events += pair if rng.integers(2) else pair[::-1]
    users, chosen, labels = (np.array(column) for column in zip(*events, strict=True))
    country = countries[users]
    return _stream([users, chosen, country], labels, country != np.argmax(np.bincount(country)))


def _not_owned(rng: np.random.Generator, user: int, owned: set[tuple[int, int]], items: int) -> int:
    while True:
        item = int(rng.integers(items))
        if (user, item) not in owned:
            return item


def _purchases() -> tuple[list[Rating], Ids]:
    """Purchases of goods in time order, users and items numbered from 0; and each user's country's number."""
    names = ("user_id", "item", "event_type", "country")
    table = import_module("pyarrow.parquet").read_table(RETAIL, columns=list(names)).to_pydict()
    countries, users, items = {}, {}, {}  # type: dict[str, int], dict[int, int], dict[str, int]
    of_user: list[int] = []
    bought: list[Rating] = []
    for user, item, event, country in zip(*(table[name] for name in names), strict=True):
        if event != "purchase" or item in NOT_GOODS:
            continue
        if user not in users:
            users[user] = len(users)
            of_user.append(countries.setdefault(country, len(countries)))
        number = items.setdefault(item, len(items))
        bought.append(Rating(users[user], number, 1.0, len(bought)))
    return bought, np.array(of_user)


def _genres(dataset: Dataset, rating: Rating) -> list[str]:
    found = dataset.items.get(rating.item, {}).get("item.genres", [])
    return [str(genre) for genre in found] if isinstance(found, list) else []


def _columns(dataset: Dataset, ratings: list[Rating]) -> list[Ids]:
    texts = [[(_genres(dataset, rating) or ["none"])[0] for rating in ratings]]
    for name in ("age", "gender", "occupation"):
        texts += [[str(dataset.users[rating.user].get(name)) for rating in ratings]]
    numbered = [np.unique(np.array(column), return_inverse=True)[1].astype(np.int64) for column in texts]
    users, items = (np.array([getattr(rating, name) for rating in ratings]) for name in ("user", "item"))
    return [users, items, *numbered]


def _stream(columns: list[Ids], labels: Ids, segment: Flags) -> Stream:
    sizes = [int(column.max()) + 1 for column in columns]
    starts = np.concatenate([[0], np.cumsum(sizes)])
    rows = np.stack([column + start for column, start in zip(columns, starts[:-1], strict=True)], axis=1)
    swapped = rows.copy()
    swapped[:, 0] = columns[1] % sizes[0]
    swapped[:, 1] = starts[1] + columns[0] % sizes[1]
    half = np.zeros(starts[-1], dtype=bool)
    half[starts[1] : starts[2] : 2] = True
    return Stream(columns[0], rows, swapped, labels, segment, half)
