"""The table's hash and its empty marks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from martlet.table_layout import C1, C2, C3, MIN_BUCKETS, SHIFT1, SHIFT2, buckets_of, empty_keys

INT64 = st.integers(-(1 << 63), (1 << 63) - 1)
MASK = (1 << 64) - 1


def plain_buckets(key: int, n: int) -> tuple[int, int]:
    """The documented formula in unbounded integers."""
    h = (key * C1) & MASK
    h ^= h >> SHIFT1
    h = (h * C2) & MASK
    h ^= h >> SHIFT2
    h = (h * C3) & MASK
    first = ((h >> 32) * n) >> 32
    second = ((h & 0xFFFFFFFF) * (n - 1)) >> 32
    return first, second + (second >= first)


@given(INT64, st.integers(MIN_BUCKETS, (1 << 31) - 1))
def test_the_hash_is_the_documented_formula(key: int, n: int) -> None:
    first, second = buckets_of(np.array([key], np.int64), n)
    assert (int(first[0]), int(second[0])) == plain_buckets(key, n)


@given(INT64, st.integers(MIN_BUCKETS, 1000))
def test_a_keys_buckets_differ_and_lie_inside(key: int, n: int) -> None:
    first, second = plain_buckets(key, n)
    assert first != second
    assert 0 <= first < n
    assert 0 <= second < n


@pytest.mark.parametrize("n", [4, 5, 7, 64, 1000])
def test_an_empty_mark_never_hashes_to_its_bucket(n: int) -> None:
    marks = empty_keys(n)
    first, second = buckets_of(marks, n)
    assert not (first == np.arange(n)).any()
    assert not (second == np.arange(n)).any()


def test_strided_keys_spread() -> None:
    """Ids that share their low 32 bits must not crowd."""
    first, _ = buckets_of(np.arange(40_000, dtype=np.int64) << 32, 10_000)
    assert np.bincount(first, minlength=10_000).max() < 20


@pytest.mark.parametrize("n", [0, 3, 1 << 31])
def test_sizes_outside_the_format_are_refused(n: int) -> None:
    with pytest.raises(ValueError, match="buckets"):
        empty_keys(n)
