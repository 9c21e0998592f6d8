"""A set of hashes holds what was put in, in order, and takes little memory for each."""

import tracemalloc

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from trainer_svc.hash_set import HashSet

# Few homes, so that they crowd; the last ones, behind which the table ends; and 0, which is a hash like others.
CROWDED = st.sampled_from([0, 1 << 40, 1 << 63, (1 << 64) - 200]).flatmap(
    lambda home: st.integers(0, 199).map(lambda offset: home + offset)
)
HASHES = st.one_of(CROWDED, st.integers(0, 2**64 - 1))


@given(st.lists(HASHES, unique=True, max_size=600), st.integers(0, 600), HASHES)
def test_it_holds_what_was_put_in_in_order(hashes: list[int], first: int, other: int) -> None:
    kept = HashSet(np.array(hashes[:first], np.uint64))
    for name in hashes[first:]:
        assert name not in kept
        kept.add(name)
        assert name in kept
    assert len(kept) == len(hashes)
    assert kept.hashes.tolist() == hashes
    assert all(name in kept for name in hashes)
    assert (other in kept) == (other in hashes)


def test_it_grows_and_still_holds_them() -> None:
    hashes = np.random.default_rng(1).integers(0, 2**64, 60_000, np.uint64).tolist()
    kept = HashSet(np.zeros(0, np.uint64))
    for name in hashes[::2]:
        kept.add(name)
    assert [name in kept for name in hashes] == [True, False] * 30_000


def test_a_hash_takes_no_more_than_its_share_of_memory() -> None:
    hashes = np.random.default_rng(1).integers(0, 2**64, 70_000, np.uint64).tolist()
    tracemalloc.start()
    try:
        kept = HashSet(np.zeros(0, np.uint64))
        for name in hashes:
            kept.add(name)
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken < 33 * len(kept)


def test_hashes_that_crowd_at_the_last_home_have_room() -> None:
    kept = HashSet(np.zeros(0, np.uint64))
    for name in range(2**64 - 500, 2**64):
        kept.add(name)
    assert all(name in kept for name in range(2**64 - 500, 2**64))
    assert 2**64 - 501 not in kept
