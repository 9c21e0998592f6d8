"""Vectors of texts: each computed once, whatever happens to the cache; items keep their other attributes."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from martlet.errors import InvalidInput
from trainer_svc.text.command import read_items
from trainer_svc.text.encoder import NarrowedEncoder
from trainer_svc.text.item_vectors import in_parts, with_vectors
from trainer_svc.text.vector_cache import CachedEncoder

Floats = npt.NDArray[np.float32]


class WordEncoder:
    """See `TextEncoder`: the sum of a made-up vector for each word, of length 1. Counts what it is asked for."""

    def __init__(self, width: int = 48, name: str = "words") -> None:
        self.width = width
        self.digest = hashlib.sha256(name.encode()).hexdigest()
        self.asked: list[str] = []

    def encode(self, texts: Sequence[str]) -> Floats:
        self.asked += texts
        vectors = np.array([self._vector(text) for text in texts], np.float32).reshape(len(texts), self.width)
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)

    def _vector(self, text: str) -> npt.NDArray[np.float64]:
        seeds = [int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "little") for word in text.split()]
        return np.sum([np.random.default_rng(seed).normal(size=self.width) for seed in seeds or [0]], axis=0)


@given(calls=st.lists(st.lists(st.text(max_size=8), max_size=6), max_size=5), reopened=st.booleans())
def test_a_cached_vector_is_the_encoders_and_is_computed_once(
    tmp_path_factory: pytest.TempPathFactory, calls: list[list[str]], *, reopened: bool
) -> None:
    folder, encoder = tmp_path_factory.mktemp("cache"), WordEncoder(8)
    cached = CachedEncoder(encoder, folder)
    for texts in calls:
        np.testing.assert_array_equal(cached.encode(texts), WordEncoder(8).encode(texts))
        if reopened:
            cached = CachedEncoder(encoder, folder)
    assert sorted(encoder.asked) == sorted({text for texts in calls for text in texts})


@pytest.mark.parametrize("harm", ["cut", "flip"])
def test_a_damaged_record_is_computed_again(tmp_path: Path, harm: str) -> None:
    texts = [f"text {n}" for n in range(5)]
    expected = CachedEncoder(WordEncoder(8), tmp_path).encode(texts)
    (file,) = tmp_path.iterdir()
    data = bytearray(file.read_bytes())
    if harm == "cut":
        del data[-7:]
    else:
        data[len(data) // 2] ^= 1
    file.write_bytes(data)
    for left in (1, 0):  # it is whole again after that
        cached = CachedEncoder(encoder := WordEncoder(8), tmp_path)
        np.testing.assert_array_equal(cached.encode(texts), expected)
        assert len(encoder.asked) == cached.computed == left


def test_encoders_do_not_share_vectors(tmp_path: Path) -> None:
    one = CachedEncoder(WordEncoder(8, "one"), tmp_path).encode(["a"])
    assert CachedEncoder(other := WordEncoder(8, "two"), tmp_path).encode(["a"]).shape == one.shape
    assert other.asked == ["a"]


def test_narrow_vectors_keep_angles_about() -> None:
    encoder = WordEncoder(384)
    texts = [f"a{n % 7} b{n % 5} c{n % 3}" for n in range(40)]
    whole, narrow = encoder.encode(texts), NarrowedEncoder(encoder, 128).encode(texts)
    assert narrow.shape == (40, 128)
    assert np.abs(whole @ whole.T - narrow @ narrow.T).max() < 4 / np.sqrt(128)
    np.testing.assert_array_equal(narrow, NarrowedEncoder(encoder, 128).encode(texts))
    assert NarrowedEncoder(encoder, 128).digest not in {encoder.digest, NarrowedEncoder(encoder, 64).digest}
    for width in (0, 385):
        with pytest.raises(InvalidInput, match="384 components"):
            NarrowedEncoder(encoder, width)


def test_items_get_a_vector_and_keep_the_rest() -> None:
    items = {7: {"item.title": "jam set", "item.price": 2.5}, "b": {"item.price": 1.0}}
    made = with_vectors(items, WordEncoder(8), "item.title", "item.vector")
    np.testing.assert_array_equal(made[7].pop("item.vector"), WordEncoder(8).encode(["jam set"])[0])
    assert made == items
    with pytest.raises(InvalidInput, match="item 7 is no text"):
        with_vectors({7: {"item.title": 3.0}}, WordEncoder(8), "item.title", "item.vector")


def test_items_are_read_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl"
    path.write_text('{"item_id": 7, "attributes": {"item.title": "Jam", "item.tags": [1, "x"]}}\n\n{"item_id": "b"}\n')
    items = list(read_items(path))
    assert items == [(7, {"item.title": "Jam", "item.tags": [1, "x"]}), ("b", {})]
    assert list(in_parts(items, 1)) == [dict(items[:1]), dict(items[1:])]
    path.write_text('{"item_id": 7}\n{"item": 8}\n')
    with pytest.raises(InvalidInput, match="line 2"):
        list(read_items(path))
    with pytest.raises(InvalidInput, match="cannot be read"):
        list(read_items(tmp_path / "none"))
