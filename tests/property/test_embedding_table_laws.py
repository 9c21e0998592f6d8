"""The embedding table against a plain dict: no two keys on one row, none lost, none invented, all of it repeatable."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from martlet.table_layout import SLOTS, buckets_of, empty_keys
from trainer_svc.table import EmbeddingTable, TableFull
from trainer_svc.table.updates import RowWiseAdaGradStep

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
    """Random calls on a tiny table, mirrored on a dict from key to row, and on a twin that is never restored."""

    @initialize(buckets=st.sampled_from([4, 5, 7]))
    def start(self, buckets: int) -> None:
        self.table = EmbeddingTable("t2", 2, buckets, 2)
        self.twin = EmbeddingTable("t2", 2, buckets, 2)
        self.rows: dict[int, tuple[float, ...]] = {}
        self.used: dict[int, int] = {}
        self.now = 1
        self.published = self.table.base()

    @rule(keys=st.lists(KEYS, min_size=1, max_size=12))
    def insert(self, keys: list[int]) -> None:
        self.now += 1
        rows = upsert(self.table, keys, self.now)
        np.testing.assert_array_equal(upsert(self.twin, keys, self.now), rows)
        for key, row in zip(keys, rows, strict=True):
            value = tuple(self.table.rows[row].tolist())
            assert self.rows.setdefault(key, value) == value
            self.used[key] = self.now

    @precondition(lambda self: bool(self.rows))
    @rule(picks=st.lists(st.integers(0, 99), min_size=1, max_size=6), gradient=st.floats(-1, 1, width=32))
    def learn(self, picks: list[int], gradient: float) -> None:
        held = sorted(self.rows)
        keys = [held[pick % len(held)] for pick in picks]
        rows = self.table.find(np.array(keys, np.int64))
        for table in (self.table, self.twin):
            table.update(rows, np.full((len(keys), 2), gradient, np.float32), RowWiseAdaGradStep(0.1, 1e-8))
        for key, row in zip(keys, rows, strict=True):
            self.rows[key] = tuple(self.table.rows[row].tolist())

    @rule(age=st.integers(0, 3))
    def evict(self, age: int) -> None:
        before = self.now - age
        gone = [key for key, used in self.used.items() if used < before]
        assert self.table.evict(0, before) == self.twin.evict(0, before) == len(gone)
        for key in gone:
            del self.rows[key], self.used[key]

    @precondition(lambda self: self.table.buckets < 200)
    @rule()
    def grow(self) -> None:
        self.table.grow()
        self.twin.grow()

    @rule()
    def save_and_restore(self) -> None:
        other = EmbeddingTable("t2", 2, 4, 2)
        other.restore({name: array.copy() for name, array in self.table.state().items()})
        self.table = other

    @rule(arrives=st.booleans())
    def publish(self, *, arrives: bool) -> None:
        for table in (self.table, self.twin):
            table.tracker.take()
            if arrives:
                table.tracker.acknowledge()
        if arrives:
            self.published = self.table.base()

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

    @invariant()
    def an_empty_slot_bears_its_mark(self) -> None:
        held = self.table.keys != empty_keys(self.table.buckets)[:, None]
        assert int(held.sum()) == self.table.size

    @invariant()
    def repeats_bit_for_bit(self) -> None:
        for name, array in self.twin.state().items():
            assert array.tobytes() == self.table.state()[name].tobytes(), name

    @invariant()
    def what_is_not_tracked_is_as_it_was_published(self) -> None:
        same = np.flatnonzero(self.table.tracker.marks == 0)
        now = self.table.base()
        if same.shape[0]:
            np.testing.assert_array_equal(now.keys[same], self.published.keys[same])
            np.testing.assert_array_equal(now.rows[same], self.published.rows[same])


TestTable = TableMachine.TestCase
TestTable.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30), st.integers(0, 1000))
@settings(deadline=None)
def test_adagrad_is_the_dense_formula_on_touched_rows(picks: list[int], seed: int) -> None:
    """Against plain NumPy: sum of each row's gradients, mean square, one step."""
    rng = np.random.default_rng(seed)
    table = EmbeddingTable("t3", 3, 16, 2)
    found = upsert(table, list(range(6)))
    gradients = rng.normal(size=(len(picks), 3)).astype(np.float32)
    before = table.rows.copy()
    table.update(found[picks], gradients, RowWiseAdaGradStep(0.1, 1e-6, 0.01))
    for pick in set(picks):
        row = found[pick]
        total = gradients[[i for i, p in enumerate(picks) if p == pick]].astype(np.float64).sum(0)
        total += 0.01 * before[row]
        expected = before[row] - 0.1 * total / (np.sqrt((total**2).mean()) + 1e-6)
        np.testing.assert_allclose(table.rows[row], expected, rtol=1e-4, atol=1e-6)
    untouched = np.setdiff1d(np.arange(table.rows.shape[0]), found[picks])
    np.testing.assert_array_equal(table.rows[untouched], before[untouched])
