"""The embedding table against a plain dict: no two keys on one row, none lost, none invented."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from martlet.table_layout import SLOTS, buckets_of
from trainer_svc.delta_tracker import DeltaTracker
from trainer_svc.table import EmbeddingTable, TableFull

EXTREMES = [0, 1, -1, (1 << 63) - 1, -(1 << 63)]
KEYS = st.one_of(
    st.sampled_from(EXTREMES),
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.integers(0, 60),
    st.integers(-30, 30).map(lambda n: n << 32),
)


def upsert(table: EmbeddingTable, keys: list[int], now_s: int = 1, space: int = 0) -> np.ndarray:
    n = len(keys)
    arguments = (np.array(keys, np.int64), np.full(n, space, np.uint16), np.ones(n, np.int64), now_s)
    while True:
        try:
            return table.upsert(*arguments)
        except TableFull:
            table.grow()


class TableMachine(RuleBasedStateMachine):
    """Random calls on a tiny table, mirrored on a dict from key to row."""

    @initialize(buckets=st.sampled_from([4, 5, 7]))
    def start(self, buckets: int) -> None:
        self.table = EmbeddingTable("t2", 2, buckets, 2)
        self.rows: dict[int, tuple[float, float]] = {}
        self.used: dict[int, int] = {}
        self.now = 1

    @rule(keys=st.lists(KEYS, min_size=1, max_size=12))
    def insert(self, keys: list[int]) -> None:
        self.now += 1
        rows = upsert(self.table, keys, self.now)
        for key, row in zip(keys, rows, strict=True):
            value = tuple(self.table.rows[row].tolist())
            assert self.rows.setdefault(key, value) == value
            self.used[key] = self.now

    @rule(keys=st.lists(KEYS, min_size=1, max_size=6), gradient=st.floats(-1, 1, width=32))
    def learn(self, keys: list[int], gradient: float) -> None:
        self.insert(keys)
        rows = self.table.find(np.array(keys, np.int64))
        self.table.row_wise_adagrad(rows, np.full((len(keys), 2), gradient, np.float32), 0.1, 1e-8)
        for key, row in zip(keys, rows, strict=True):
            self.rows[key] = tuple(self.table.rows[row].tolist())

    @rule(age=st.integers(0, 3))
    def evict(self, age: int) -> None:
        before = self.now - age
        gone = [key for key, used in self.used.items() if used < before]
        assert self.table.evict(0, before) == len(gone)
        for key in gone:
            del self.rows[key], self.used[key]

    @rule()
    def grow(self) -> None:
        if self.table.buckets < 200:
            self.table.grow()

    @rule()
    def save_and_restore(self) -> None:
        other = EmbeddingTable("t2", 2, 4, 2)
        other.restore(self.table.state())
        for name, array in self.table.state().items():
            np.testing.assert_array_equal(other.state()[name], array)
        self.table = other

    @invariant()
    def agrees_with_the_dict(self) -> None:
        keys = np.array([*self.rows, 123_456_789], np.int64)
        rows = self.table.find(keys)
        assert rows[-1] == -1 or 123_456_789 in self.rows
        held = rows[:-1]
        assert (held >= 0).all()
        assert len(set(held.tolist())) == len(held)
        assert self.table.size == len(self.rows)
        first, second = buckets_of(keys[:-1], self.table.buckets)
        assert ((held // SLOTS == first) | (held // SLOTS == second)).all()
        expected = np.array(list(self.rows.values()), np.float32).reshape(-1, 2)
        np.testing.assert_array_equal(self.table.rows[held], expected)


TestTable = TableMachine.TestCase
TestTable.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


def test_a_full_table_says_so_and_stays_whole() -> None:
    table = EmbeddingTable("t1", 1, 4, 2)
    keys = np.arange(16, dtype=np.int64)
    with pytest.raises(TableFull):
        table.upsert(keys, np.zeros(16, np.uint16), np.ones(16, np.int64), 1)
    held = table.find(keys)
    assert int((held >= 0).sum()) == table.size == 15


def test_a_table_fills_to_its_load_before_it_is_full() -> None:
    table = EmbeddingTable("t1", 1, 1000, 2)
    keys = np.arange(3700, dtype=np.int64)
    table.upsert(keys, np.zeros(3700, np.uint16), np.ones(3700, np.int64), 1)
    assert table.size == 3700


def test_a_new_row_begins_as_its_default_row_with_noise_of_its_own() -> None:
    table = EmbeddingTable("t3", 3, 16, 2)
    table.rows[table.slots + 1] = [1.0, 2.0, 3.0]
    rows = table.rows[upsert(table, [7, 8])]
    assert np.abs(rows - [1.0, 2.0, 3.0]).max() <= 0.011
    assert (rows[0] != rows[1]).all()
    again = EmbeddingTable("t3", 3, 64, 2)
    again.rows[again.slots + 1] = [1.0, 2.0, 3.0]
    np.testing.assert_array_equal(again.rows[upsert(again, [8, 7])], rows[::-1])


def test_a_key_of_another_space_keeps_its_default_row_and_is_counted() -> None:
    table = EmbeddingTable("t1", 1, 16, 3)
    first = upsert(table, [7], space=1)
    second = table.upsert(np.array([7, 9], np.int64), np.array([2, 2], np.uint16), np.array([2, 2], np.int64), 1)
    assert second[0] == table.slots + 2
    assert first[0] != second[0]
    assert table.collisions == 1


def test_the_zero_row_never_changes() -> None:
    table = EmbeddingTable("t2", 2, 16, 2)
    rows = np.array([table.slots, table.slots + 1], np.int64)
    table.row_wise_adagrad(rows, np.ones((2, 2), np.float32), 0.1, 1e-8)
    assert (table.rows[table.slots] == 0).all()
    assert (table.rows[table.slots + 1] != 0).all()


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30), st.integers(0, 1000))
@settings(deadline=None)
def test_adagrad_is_the_dense_formula_on_touched_rows(picks: list[int], seed: int) -> None:
    """Against plain NumPy: sum of each row's gradients, mean square, one step."""
    rng = np.random.default_rng(seed)
    table = EmbeddingTable("t3", 3, 16, 2)
    found = upsert(table, list(range(6)))
    gradients = rng.normal(size=(len(picks), 3)).astype(np.float32)
    before = table.rows.copy()
    table.row_wise_adagrad(found[picks], gradients, 0.1, 1e-6, l2=0.01)
    for pick in set(picks):
        row = found[pick]
        total = gradients[[i for i, p in enumerate(picks) if p == pick]].astype(np.float64).sum(0)
        total += 0.01 * before[row]
        expected = before[row] - 0.1 * total / (np.sqrt((total**2).mean()) + 1e-6)
        np.testing.assert_allclose(table.rows[row], expected, rtol=1e-4, atol=1e-6)
    untouched = np.setdiff1d(np.arange(table.rows.shape[0]), found[picks])
    np.testing.assert_array_equal(table.rows[untouched], before[untouched])


def test_every_changed_bucket_is_tracked() -> None:
    """Displaced and cleared slots too: what was not taken has not changed."""
    rng = np.random.default_rng(1)
    table = EmbeddingTable("t2", 2, 64, 2)
    for now in range(1, 40):
        before = table.base()
        keys = rng.integers(0, 400, 5)
        upsert(table, keys.tolist(), now)
        table.row_wise_adagrad(table.find(keys), np.ones((5, 2), np.float32), 0.1, 1e-8)
        table.evict(0, now - 20)
        after = table.base()
        changed = (before.keys != after.keys).any(1) | (before.rows != after.rows).any((1, 2))
        taken = table.tracker.take()
        table.tracker.acknowledge()
        assert set(np.flatnonzero(changed)) <= set(taken.tolist())


def test_nothing_is_forgotten_before_it_is_acknowledged() -> None:
    tracker = DeltaTracker(8)
    tracker.touch(np.array([1, 3]))
    assert tracker.take().tolist() == [1, 3]
    tracker.touch(np.array([3, 5]))
    assert tracker.take().tolist() == [1, 3, 5], "the first publish failed: the next one carries all"
    tracker.touch(np.array([5]))
    tracker.acknowledge()
    assert tracker.take().tolist() == [5]
    tracker.acknowledge()
    assert tracker.touched == 0
