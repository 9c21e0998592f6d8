"""One table, four readers: the trainer, onnxruntime, ONNX's reference evaluator, and serving's arena."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper
from onnx.reference import ReferenceEvaluator

from martlet.table_blobs import TableDelta, decode_base, decode_delta, encode_base, encode_delta
from martlet.table_layout import SLOTS
from serving_svc.table_arena import ArenaFull, TableArena, TableView
from trainer_svc.export.graph_builder import GraphBuilder
from trainer_svc.export.lookup_graph import add_lookup, add_table
from trainer_svc.table import EmbeddingTable, TableFull

WIDTH = 3
SPECIALS = 2
EXTREMES = [0, 1, -1, (1 << 63) - 1, -(1 << 63), 1 << 32, -(1 << 32), (1 << 32) + 1]
KEYS = st.one_of(
    st.sampled_from(EXTREMES),
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.integers(0, 40).map(lambda n: n << 32),
)


def lookup_model(buckets: int) -> onnx.ModelProto:
    graph = GraphBuilder("lookup")
    add_table(graph, "t", buckets, WIDTH, SPECIALS)
    rows = add_lookup(graph, "t", buckets, "keys", "defaults")
    graph.add("Identity", [rows], "rows")
    info = helper.make_tensor_value_info
    inputs = [info(name, onnx.TensorProto.INT64, ["n"]) for name in ("keys", "defaults")]
    output = info("rows", onnx.TensorProto.FLOAT, ["n", WIDTH])
    body = helper.make_graph(graph.nodes, "g", inputs, [output], graph.initializers)
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def session(model: onnx.ModelProto, folder: Path, arrays: dict[str, np.ndarray]) -> tuple[Any, list[Any]]:
    """A session over the given arrays, zero copy; the files that the graph names exist and are empty."""
    options = onnxruntime.SessionOptions()
    values = []
    for name, array in arrays.items():
        (folder / f"{name}.bin").touch()
        values.append(onnxruntime.OrtValue.ortvalue_from_numpy(array))
        options.add_initializer(name, values[-1])
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder))
    return onnxruntime.InferenceSession(model.SerializeToString(), options), values


def arena_arrays(arena: TableArena, view: TableView) -> dict[str, np.ndarray]:
    return {"t.directory": view.directory, "t.keys": arena.keys, "t.rows": arena.rows, "t.special": view.special}


def table_arrays(table: EmbeddingTable) -> dict[str, np.ndarray]:
    return {
        "t.directory": np.arange(table.buckets, dtype=np.int32),
        "t.keys": table.keys,
        "t.rows": table.rows,
        "t.special": table.slots + np.arange(SPECIALS),
    }


def reference_rows(buckets: int, arrays: dict[str, np.ndarray], keys: np.ndarray, defaults: np.ndarray) -> np.ndarray:
    model = lookup_model(buckets)
    for tensor in model.graph.initializer:
        if tensor.name in arrays:
            tensor.CopyFrom(onnx.numpy_helper.from_array(arrays[tensor.name], tensor.name))
    with np.errstate(over="ignore"):
        (rows,) = ReferenceEvaluator(model).run(None, {"keys": keys, "defaults": defaults})
    return np.asarray(rows)


def filled(buckets: int, keys: list[int], seed: int) -> EmbeddingTable:
    table = EmbeddingTable("t", WIDTH, buckets, SPECIALS)
    rng = np.random.default_rng(seed)
    table.rows[table.slots + 1] = rng.normal(size=WIDTH)
    learn(table, keys, rng)
    return table


def learn(table: EmbeddingTable, keys: list[int], rng: np.random.Generator) -> None:
    n = len(keys)
    arguments = (np.array(keys, np.int64), np.zeros(n, np.uint16), np.ones(n, np.int64), 1)
    while n:
        try:
            rows = table.upsert(*arguments)
        except TableFull:
            table.grow()
        else:
            table.row_wise_adagrad(rows, rng.normal(size=(n, WIDTH)).astype(np.float32), 0.1, 1e-8)
            return


def trainer_rows(table: EmbeddingTable, keys: np.ndarray) -> np.ndarray:
    found = table.find(keys)
    return table.gather(np.where(found < 0, table.slots + 1, found))


@given(
    buckets=st.sampled_from([4, 5, 9, 64]),
    held=st.lists(KEYS, max_size=20),
    asked=st.lists(KEYS, min_size=1, max_size=20),
    seed=st.integers(0, 100),
)
@settings(max_examples=40, deadline=None)
def test_trainer_runtime_and_reference_agree(
    tmp_path_factory: pytest.TempPathFactory, buckets: int, held: list[int], asked: list[int], seed: int
) -> None:
    table = filled(buckets, held, seed)
    keys = np.array([*asked, *held], np.int64)
    expected = trainer_rows(table, keys)
    arrays = table_arrays(table)
    feed = {"keys": keys, "defaults": np.full(keys.shape[0], table.slots + 1)}
    runtime, _alive = session(lookup_model(table.buckets), tmp_path_factory.mktemp("s"), arrays)
    np.testing.assert_array_equal(runtime.run(None, feed)[0], expected)
    np.testing.assert_array_equal(reference_rows(table.buckets, arrays, keys, feed["defaults"]), expected)


@given(rounds=st.lists(st.lists(KEYS, min_size=1, max_size=8), min_size=1, max_size=6), seed=st.integers(0, 100))
@settings(max_examples=25, deadline=None)
def test_base_and_deltas_through_the_arena_equal_the_table(
    tmp_path_factory: pytest.TempPathFactory, rounds: list[list[int]], seed: int
) -> None:
    """Every version, the old ones too, keeps reading what it read when it was published."""
    folder = tmp_path_factory.mktemp("arena")
    table, rng = filled(64, [1, 2, 3], seed), np.random.default_rng(seed)
    keys = np.array([9, *EXTREMES, *(key for keys in rounds for key in keys)], np.int64)
    table.tracker.take()
    table.tracker.acknowledge()
    base = decode_base(encode_base(table.base()), WIDTH, 64)
    arena = TableArena(folder / "arena", base, WIDTH, headroom=2.0)
    model, views = lookup_model(64), [(arena.root(), trainer_rows(table, keys))]
    for sequence, new in enumerate(rounds, start=1):
        learn(table, new, rng)
        table.rows[table.slots + 1] += 1.0
        buckets = table.tracker.take()
        table.tracker.acknowledge()
        delta = TableDelta(sequence, "p", buckets, *table.changed(buckets))
        delta = decode_delta(encode_delta(delta), WIDTH, 64)
        views.append((arena.derive(views[-1][0], delta), trainer_rows(table, keys)))
    for view, expected in views:
        runtime, _alive = session(model, folder, arena_arrays(arena, view))
        feed = {"keys": keys, "defaults": np.full(keys.shape[0], view.special[1])}
        np.testing.assert_array_equal(runtime.run(None, feed)[0], expected)
    arena.close()


def small_delta(sequence: int, value: float) -> TableDelta:
    rows = np.full((1, SLOTS, WIDTH), value, np.float32)
    return TableDelta(
        sequence, "p", np.array([3], np.int32), np.zeros((1, SLOTS), np.int64), rows,
        np.full((SPECIALS, WIDTH), value, np.float32),
    )  # fmt: skip


def test_buckets_come_back_only_when_no_view_refers_to_them(tmp_path: Path) -> None:
    arena = TableArena(tmp_path / "arena", filled(8, [1], 0).base(), WIDTH, headroom=0.0)
    free = arena.free_buckets
    first = arena.derive(arena.root(), small_delta(1, 1.0))
    second = arena.derive(first, small_delta(2, 2.0))
    assert arena.free_buckets == free - 4
    arena.release(first)
    assert arena.free_buckets == free - 2, "the first one's bucket and special rows were its own"
    third = arena.derive(second, small_delta(3, 3.0))
    assert (arena.rows.reshape(-1, SLOTS, WIDTH)[second.directory[3]] == 2.0).all()
    assert (arena.rows[second.special] == 2.0).all()
    arena.release(second)
    arena.release(third)
    assert arena.free_buckets == free
    arena.close()


def test_ten_thousand_versions_need_no_more_room_than_two(tmp_path: Path) -> None:
    arena = TableArena(tmp_path / "arena", filled(8, [1], 0).base(), WIDTH, headroom=0.0)
    view = arena.root()
    for sequence in range(10_000):
        new = arena.derive(view, small_delta(sequence, float(sequence)))
        arena.release(view)
        view = new
    assert (arena.rows[view.special] == 9999.0).all()
    arena.close()


def test_a_full_arena_says_so_and_stays_as_it_was(tmp_path: Path) -> None:
    arena = TableArena(tmp_path / "arena", filled(8, [1], 0).base(), WIDTH, headroom=0.0)
    views = [arena.root()]
    while arena.free_buckets >= 2:
        views.append(arena.derive(views[-1], small_delta(len(views), float(len(views) - 1))))
    with pytest.raises(ArenaFull):
        arena.derive(views[-1], small_delta(0, -1.0))
    assert (arena.rows[views[-1].special] == float(len(views) - 2)).all()
    arena.close()
    assert not (tmp_path / "arena").exists()
