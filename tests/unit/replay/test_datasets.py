import hashlib
import subprocess
import zipfile
from collections import defaultdict
from pathlib import Path

import pytest

from martlet.errors import Corrupt, InvalidInput, Unavailable
from martlet.replay import datasets
from martlet.replay.datasets import FILES, INSIDE, WHEEL, Rating, interleaved, movielens_100k, synthetic
from tests.unit.replay.samples import INTER, ITEM, USER, write_copy


def test_an_own_copy_is_read_in_time_order(tmp_path: Path) -> None:
    found = movielens_100k(tmp_path / "cache", write_copy(tmp_path))
    assert found.ratings == (Rating(2, 11, 3.0, 100), Rating(1, 11, 4.0, 200), Rating(1, 10, 5.0, 300))
    assert found.users[1] == {"age": "age-4", "gender": "M", "occupation": "artist"}
    assert found.items[10] == {"item.genres": ["Action", "Crime"], "item.year": "1995"}


def test_an_own_copy_that_lacks_a_file_is_named(tmp_path: Path) -> None:
    (write_copy(tmp_path) / FILES[1]).unlink()
    with pytest.raises(InvalidInput, match=FILES[1]):
        movielens_100k(tmp_path, tmp_path)


def test_a_cached_package_is_verified_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / WHEEL, "w") as archive:
        for name, text in zip(FILES, (INTER, USER, ITEM), strict=True):
            archive.writestr(INSIDE + name, text)
    with pytest.raises(Corrupt, match="not the published package"):
        movielens_100k(tmp_path)
    monkeypatch.setattr(datasets, "SHA256", hashlib.sha256((tmp_path / WHEEL).read_bytes()).hexdigest())
    assert len(movielens_100k(tmp_path).ratings) == 3


def test_a_failed_download_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_index(command: list[str], **_: object) -> "subprocess.CompletedProcess[str]":
        return subprocess.CompletedProcess(command, 1, "", "no route to the index")

    monkeypatch.setattr(subprocess, "run", no_index)
    with pytest.raises(Unavailable, match="no route to the index"):
        movielens_100k(tmp_path / "cache")


def ratings(users: int, each: int) -> tuple[Rating, ...]:
    return tuple(Rating(user, n, 4.0, user * each + n) for user in range(users) for n in range(each))


def test_interleaving_keeps_every_event_and_each_users_order() -> None:
    given = ratings(50, 9)
    found = list(interleaved(given, active=7))
    assert sorted(found, key=lambda rating: rating.time) == list(given)
    by_user: dict[int, list[int]] = defaultdict(list)
    for rating in found:
        by_user[rating.user].append(rating.item)
    assert all(items == sorted(items) for items in by_user.values())


def test_interleaving_mixes_no_more_users_than_are_active() -> None:
    found = list(interleaved(ratings(50, 9), active=7))
    last = {rating.user: place for place, rating in enumerate(found)}
    first = {rating.user: place for place, rating in reversed(list(enumerate(found)))}
    present = [sum(first[user] <= place <= last[user] for user in last) for place in range(len(found))]
    assert max(present) == 7


def test_interleaving_is_the_same_for_the_same_seed_only() -> None:
    given = ratings(30, 5)
    assert list(interleaved(given, 5, seed=1)) == list(interleaved(given, 5, seed=1))
    assert list(interleaved(given, 5, seed=1)) != list(interleaved(given, 5, seed=2))


def test_the_synthetic_stream_is_seeded_and_names_only_known_users_and_items() -> None:
    one, two = synthetic(400, seed=7), synthetic(400, seed=7)
    assert one == two
    assert one.ratings != synthetic(400, seed=8).ratings
    assert all(r.user in one.users and r.item in one.items and 1 <= r.rating <= 5 for r in one.ratings)
    likes = sum(rating.rating >= 4 for rating in one.ratings) / len(one.ratings)
    assert 0.2 < likes < 0.8
