"""Data sets to replay as live traffic: MovieLens 100K from a published package, or a seeded synthetic stream.

MovieLens 100K (GroupLens; see its terms in the package) is downloaded at set-up, verified by hash, and never stored in
a repository: it stands in `recbole/dataset_example/ml-100k` of the wheel `recbole` 1.2.1.
"""

import hashlib
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from martlet.errors import Corrupt, InvalidInput, Unavailable
from martlet.feature_encoding import Value

PACKAGE: Final = "recbole==1.2.1"
WHEEL: Final = "recbole-1.2.1-py3-none-any.whl"
SHA256: Final = "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407"
INSIDE: Final = "recbole/dataset_example/ml-100k/"
FILES: Final = ("ml-100k.inter", "ml-100k.user", "ml-100k.item")


@dataclass(frozen=True, slots=True)
class Rating:
    """One event: a user rated an item at a time (seconds since 1970)."""

    user: int
    item: int
    rating: float
    time: int


@dataclass(frozen=True, slots=True)
class Dataset:
    """Events in time order, and what is known of users and items, by source name."""

    name: str
    ratings: tuple[Rating, ...]
    users: Mapping[int, Mapping[str, Value]]
    items: Mapping[int, Mapping[str, Value]]


def movielens_100k(cache: Path, data: Path | None = None) -> Dataset:
    """MovieLens 100K, from one's own copy (a folder with the three files) or downloaded into the cache.

    Raises:
        Unavailable: it cannot be downloaded.
        Corrupt: the download is not what was published.
        InvalidInput: one's own copy lacks a file.
    """
    texts = _own_copy(data) if data else _from_wheel(_wheel(cache))
    return Dataset("movielens-100k", _ratings(texts[FILES[0]]), _users(texts[FILES[1]]), _items(texts[FILES[2]]))


def titles_of_movielens(cache: Path, data: Path | None = None) -> dict[int, str]:
    """The titles of MovieLens 100K's films; see `movielens_100k`."""
    texts = _own_copy(data) if data else _from_wheel(_wheel(cache))
    return {int(item): title for item, title, *_ in _rows(texts[FILES[2]])}


def synthetic(events: int = 100_000, seed: int = 7) -> Dataset:
    """A seeded stream of the same shape: users and items with hidden tastes, which drift slowly."""
    rng = np.random.default_rng(seed)
    users, items, width = 943, 1682, 8
    taste, kind = rng.normal(size=(users, width)), rng.normal(size=(items, width))
    bias = rng.normal(size=items)
    popularity = rng.zipf(1.3, items).astype(float)
    ratings: list[Rating] = []
    chosen_users = rng.integers(0, users, events)
    chosen_items = rng.choice(items, events, p=popularity / popularity.sum())
    for n, (user, item) in enumerate(zip(chosen_users.tolist(), chosen_items.tolist(), strict=True)):
        taste[user] += 0.02 * rng.normal(size=width)
        score = 3.5 + 0.4 * bias[item] + 0.35 * float(taste[user] @ kind[item]) + 0.5 * rng.normal()
        ratings.append(Rating(user + 1, item + 1, float(np.clip(round(score), 1, 5)), 880_000_000 + 60 * n))
    user_values = {
        u + 1: _user_values(str(rng.integers(15, 70)), "MF"[int(rng.integers(2))], "other") for u in range(users)
    }
    item_values = {i + 1: {"item.genres": [f"g{int(np.argmax(kind[i]))}"], "item.year": "1995"} for i in range(items)}
    return Dataset("synthetic", tuple(ratings), user_values, item_values)


def interleaved(ratings: tuple[Rating, ...], active: int = 200, seed: int = 1) -> Iterator[Rating]:
    """The events as a live service would see them: each user's own order kept, about `active` users at a time.

    In the raw log a user's ratings were given in one sitting, so only a dozen users are active at any moment.
    """
    rng = np.random.default_rng(seed)
    by_user: dict[int, list[Rating]] = {}
    for rating in ratings:
        by_user.setdefault(rating.user, []).append(rating)
    waiting = [iter(events) for events in by_user.values()]
    waiting.reverse()
    present = [waiting.pop() for _ in range(min(active, len(waiting)))]
    while present:
        place = int(rng.integers(len(present)))
        event = next(present[place], None)
        if event is not None:
            yield event
        elif waiting:
            present[place] = waiting.pop()
        else:
            present.pop(place)


def _wheel(cache: Path) -> Path:
    path = cache / WHEEL
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(cache), PACKAGE]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  fixed arguments
        if done.returncode != 0 or not path.exists():
            raise Unavailable(f"MovieLens 100K cannot be downloaded ({PACKAGE}): {done.stderr.strip()[-300:]}")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != SHA256:
        raise Corrupt(f"{path} is not the published package: its SHA-256 is {found}")
    return path


def _from_wheel(path: Path) -> dict[str, str]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(INSIDE + name).decode() for name in FILES}


def _own_copy(folder: Path) -> dict[str, str]:
    missing = [name for name in FILES if not (folder / name).exists()]
    if missing:
        raise InvalidInput(f"{folder} has no {', '.join(missing)}")
    return {name: (folder / name).read_text() for name in FILES}


def _rows(text: str) -> Iterator[list[str]]:
    for line in text.splitlines()[1:]:
        yield line.split("\t")


def _ratings(text: str) -> tuple[Rating, ...]:
    rows = (Rating(int(user), int(item), float(rating), int(float(time))) for user, item, rating, time in _rows(text))
    return tuple(sorted(rows, key=lambda rating: rating.time))


def _users(text: str) -> dict[int, dict[str, Value]]:
    return {int(user): _user_values(age, gender, occupation) for user, age, gender, occupation, _ in _rows(text)}


def _user_values(age: str, gender: str, occupation: str) -> dict[str, Value]:
    return {"age": f"age-{int(age) // 5}", "gender": gender, "occupation": occupation}


def _items(text: str) -> dict[int, dict[str, Value]]:
    items: dict[int, dict[str, Value]] = {}
    for item, _title, year, genres in _rows(text):
        items[int(item)] = {"item.genres": genres.split(), "item.year": year}
    return items
