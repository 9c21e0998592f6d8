"""The embedding table against a plain dict: no two keys on one row, none lost, none invented, all of it repeatable."""

import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from onnx import helper

from martlet.learn.optimizers import RowWiseAdaGrad
from martlet.table_layout import SLOTS, buckets_of, empty_keys
from trainer_svc.export.graph_builder import GraphBuilder
from trainer_svc.export.lookup_graph import add_lookup, add_table
from trainer_svc.table import EmbeddingTable, TableFull
from trainer_svc.table.columns import RowType
from trainer_svc.table.updates import RowUpdate

WIDTH = 2
SPECIALS = 3
ABSENT = 123_456_789
STEP = RowUpdate(RowWiseAdaGrad(epsilon=1e-8), 0.1)
EXTREMES = [0, 1, -1, (1 << 63) - 1, -(1 << 63)]
KEYS = st.one_of(
    st.sampled_from(EXTREMES),
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.integers(0, 60),
    st.integers(-30, 30).map(lambda n: n << 32),
)
HELPER = ThreadPoolExecutor(1)


def space_of(key: int) -> int:
    return key & 1


def upsert(table: EmbeddingTable, keys: list[int], now_s: int = 1) -> np.ndarray:
    spaces = np.array([space_of(key) for key in keys], np.uint16)
    arguments = (np.array(keys, np.int64), spaces, 1 + spaces.astype(np.int64), now_s)
    while True:
        try:
            return table.upsert(*arguments)
        except TableFull:
            table.grow()


class Exported:
    """The lookup graph over a table's base, run by onnxruntime, as any server would."""

    def __init__(self, table: EmbeddingTable, folder: Path) -> None:
        base = table.base()
        rows = np.concatenate([base.rows.reshape(-1, WIDTH), base.special]).astype(np.float32)
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder))
        directory, special = np.arange(base.buckets, dtype=np.int32), base.buckets * SLOTS + np.arange(SPECIALS)
        arrays = {"t.directory": directory, "t.keys": base.keys, "t.rows": rows, "t.special": special}
        self._values = [onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in arrays.values()]
        for name, value in zip(arrays, self._values, strict=True):
            (folder / f"{name}.bin").touch()
            options.add_initializer(name, value)
        self._session = onnxruntime.InferenceSession(lookup_model(base.buckets).SerializeToString(), options)
        self._defaults = base.buckets * SLOTS + 1

    def rows(self, keys: np.ndarray) -> np.ndarray:
        defaults = np.array([self._defaults + space_of(int(key)) for key in keys], np.int64)
        return np.asarray(self._session.run(None, {"keys": keys, "defaults": defaults})[0])


def lookup_model(buckets: int) -> Any:
    graph = GraphBuilder("lookup")
    add_table(graph, "t", buckets, WIDTH, SPECIALS)
    graph.add("Gather", ["t.rows", add_lookup(graph, "t", buckets, "keys", "defaults")], "rows")
    info = helper.make_tensor_value_info
    inputs = [info(name, onnx.TensorProto.INT64, ["n"]) for name in ("keys", "defaults")]
    output = info("rows", onnx.TensorProto.FLOAT, ["n", WIDTH])
    body = helper.make_graph(graph.nodes, "g", inputs, [output], graph.initializers)
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


class TableMachine(RuleBasedStateMachine):
    """Random calls on a tiny table, mirrored on a dict from key to row, and on a twin.

    The table grows in a helper thread, and is saved and restored; the twin grows in the caller's, and never is.
    """

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()

    def teardown(self) -> None:
        self._folder.cleanup()

    @initialize(buckets=st.sampled_from([4, 5, 7]), dtype=st.sampled_from(["float32", "float16"]))
    def start(self, buckets: int, dtype: RowType) -> None:
        self.table = self.made(buckets, dtype, HELPER)
        self.twin = self.made(buckets, dtype, None)
        self.rows: dict[int, tuple[float, ...]] = {}
        self.used: dict[int, int] = {}
        self.now = 1
        self.published = self.table.base()

    def made(self, buckets: int, dtype: RowType, helper: ThreadPoolExecutor | None) -> EmbeddingTable:
        return EmbeddingTable("t2", WIDTH, buckets, SPECIALS, dtype=dtype, helper=helper)

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
        specials = self.table.slots + 1 + np.arange(2)
        for table in (self.table, self.twin):
            table.update(np.append(rows, specials), np.full((len(keys) + 2, WIDTH), gradient, np.float32), STEP)
        for key, row in zip(keys, rows, strict=True):
            self.rows[key] = tuple(self.table.rows[row].tolist())

    @rule(space=st.integers(0, 1), age=st.integers(0, 3))
    def evict(self, space: int, age: int) -> None:
        before = self.now - age
        gone = [key for key, used in self.used.items() if used < before and space_of(key) == space]
        assert self.table.evict(space, before) == self.twin.evict(space, before) == len(gone)
        self.forget(gone)

    @rule(space=st.integers(0, 1), most=st.integers(0, 30))
    def limit(self, space: int, most: int) -> None:
        held = [key for key in self.used if space_of(key) == space]
        slots = dict(zip(held, self.table.find(np.array(held, np.int64)).tolist(), strict=True))
        oldest = sorted(held, key=lambda key: (self.used[key], slots[key]))
        gone = oldest[: len(held) - most + most // 20] if len(held) > most else []
        assert self.table.limit(space, most) == self.twin.limit(space, most) == len(gone)
        self.forget(gone)

    def forget(self, keys: list[int]) -> None:
        for key in keys:
            del self.rows[key], self.used[key]

    @precondition(lambda self: self.table.buckets < 200)
    @rule()
    def grow(self) -> None:
        self.table.grow()
        self.twin.grow()

    @precondition(lambda self: self.table.buckets < 200 and self.table._growth is None)
    @rule()
    def begin_to_grow(self) -> None:
        """As `end_step` does in a table that is nearly full."""
        self.table._begin_growth()
        self.twin._begin_growth()

    @rule()
    def end_step(self) -> None:
        assert self.table.end_step() == self.twin.end_step()

    @rule()
    def save_and_restore(self) -> None:
        other = self.made(4, self.table.dtype, HELPER)
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

    @rule(arrives=st.booleans())
    def checkpoint(self, *, arrives: bool) -> None:
        """The twin makes none: nothing may depend on it."""
        self.table.tracker.take_unsaved()
        if arrives:
            self.table.tracker.saved()
        else:
            self.table.tracker.unsaved_failed()

    @invariant()
    def agrees_with_the_dict(self) -> None:
        keys = np.array([*self.rows, ABSENT], np.int64)
        rows = self.table.find(keys)
        assert rows[-1] == -1 or ABSENT in self.rows
        held = rows[:-1]
        assert (held >= 0).all()
        assert len(set(held.tolist())) == len(held)
        assert self.table.size == len(self.rows)
        first, second = buckets_of(keys[:-1], self.table.buckets)
        assert ((held // SLOTS == first) | (held // SLOTS == second)).all()
        expected = np.array(list(self.rows.values()), np.float32).reshape(-1, WIDTH)
        np.testing.assert_array_equal(self.table.rows[held], expected)

    @invariant()
    def counts_the_rows_of_each_space(self) -> None:
        counted = [space.rows for space in self.table.statistics.spaces]
        for space in range(2):
            held = sum(space_of(key) == space for key in self.rows)
            assert held == (counted[space] if space < len(counted) else 0)

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

    @invariant()
    def the_exported_graph_answers_the_same(self) -> None:
        keys = np.array([*self.rows, ABSENT, *EXTREMES], np.int64)
        found = self.table.find(keys)
        defaults = self.table.slots + 1 + np.array([space_of(int(key)) for key in keys])
        expected = self.table.gather(np.where(found < 0, defaults, found))
        np.testing.assert_array_equal(Exported(self.table, Path(self._folder.name)).rows(keys), expected)


TestTable = TableMachine.TestCase
TestTable.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30), st.integers(0, 1000))
@settings(deadline=None)
def test_adagrad_is_the_dense_formula_on_touched_rows(picks: list[int], seed: int) -> None:
    """Against plain NumPy: sum of each row's gradients, mean square, one step."""
    rng = np.random.default_rng(seed)
    table = EmbeddingTable("t3", 3, 16, 3)
    found = upsert(table, list(range(6)))
    gradients = rng.normal(size=(len(picks), 3)).astype(np.float32)
    before = table.rows.copy()
    table.update(found[picks], gradients, RowUpdate(RowWiseAdaGrad(l2=0.01), 0.1))
    for pick in set(picks):
        row = found[pick]
        total = gradients[[i for i, p in enumerate(picks) if p == pick]].astype(np.float64).sum(0)
        total += 0.01 * before[row]
        expected = before[row] - 0.1 * total / (np.sqrt((total**2).mean()) + 1e-6)
        np.testing.assert_allclose(table.rows[row], expected, rtol=1e-4, atol=1e-6)
    untouched = np.setdiff1d(np.arange(table.rows.shape[0]), found[picks])
    np.testing.assert_array_equal(table.rows[untouched], before[untouched])


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_table_that_learns_while_it_grows_is_the_same_whoever_fills_it(dtype: RowType) -> None:
    """Rows change, come and go under the helper's hands; a third table is restored in the middle of the growth."""
    with ThreadPoolExecutor(1) as helper:
        tables = [EmbeddingTable("t4", 4, 2000, 3, dtype=dtype, helper=one) for one in (helper, None, helper)]
        random, changed = np.random.default_rng(5), 0
        for step in range(1, 9):
            new = range(7400) if step == 1 else range(7400 + 60 * step, 7460 + 60 * step)
            keys = [*new, *random.integers(0, 7400, 200).tolist()]
            gradients = random.normal(size=(len(keys), 4)).astype(np.float32)
            for table in tables:
                table.update(upsert(table, keys, step), gradients, STEP)
                table.limit(1, 3700)
                table.end_step()
            states = [{name: array.tobytes() for name, array in table.state().items()} for table in tables]
            assert states[0] == states[1] == states[2]
            if tables[0]._growth is not None:
                changed = max(changed, tables[0].state()["growth_buckets"].shape[0])
                tables[2] = EmbeddingTable("t4", 4, 4, 3, dtype=dtype, helper=helper)
                tables[2].restore({name: array.copy() for name, array in tables[0].state().items()})
    assert tables[0].grown == 1
    assert changed > 100
