"""Means of the past are of the past alone, and are what a plain computation over it gives."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.learning.past_means import NO_KEY, Slice, past_of

EVENTS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(1, 5), st.integers(-1, 2), st.integers(-1, 2)),
    min_size=1,
    max_size=30,
)


def columns(events: list[tuple[int, ...]]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    table = np.array(events, np.int64)
    return table[:, 0].copy(), table[:, 1].copy(), table[:, 2].astype(np.float64), table[:, 3:].copy()


@settings(deadline=None)  # compiles on its first call
@given(EVENTS)
def test_a_slice_is_the_decayed_mean_of_earlier_residuals(events: list[tuple[int, ...]]) -> None:
    users, items, ratings, keys = columns(events)
    keys[:, 0] = np.abs(keys[:, 0])  # a slice needs one key at all
    past = past_of(users, items, ratings, [Slice("all", keys[:, :1], 2.0), Slice("now", keys, 3.0, kept=0.5)])
    residuals = ratings - past.base
    for k in range(len(events)):
        known = [j for j in range(k) if keys[j, 0] == keys[k, 0]]
        assert np.isclose(past.numbers["all"][k], residuals[known].sum() / (len(known) + 2.0), atol=1e-6)
        means = []
        for key in keys[k][keys[k] != NO_KEY]:
            total = count = 0.0
            for j in range(k):
                for other in keys[j]:
                    if other == key:
                        total, count = 0.5 * total + residuals[j], 0.5 * count + 1.0
            means.append((total, count))
        expected = np.mean([total / (count + 3.0) for total, count in means])
        assert np.isclose(past.numbers["now"][k], expected, atol=1e-6)


@settings(deadline=None)
@given(EVENTS, st.integers(1, 5))
def test_what_is_known_of_an_event_does_not_depend_on_it_or_on_later_ones(
    events: list[tuple[int, ...]], other: int
) -> None:
    users, items, ratings, keys = columns(events)
    keys[:, 0] = np.abs(keys[:, 0])
    slices = [Slice("one", keys, 2.0, kept=0.9)]
    half = len(events) // 2
    changed = ratings.copy()
    changed[half:] = other
    one, two = past_of(users, items, ratings, slices), past_of(users, items, changed, slices)
    np.testing.assert_array_equal(one.base[: half + 1], two.base[: half + 1])
    np.testing.assert_array_equal(one.numbers["one"][: half + 1], two.numbers["one"][: half + 1])
