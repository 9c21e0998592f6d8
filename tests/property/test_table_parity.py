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
from serving_svc.table_arena import TableArena, TableView
from trainer_svc.export.graph_builder import GraphBuilder
from trainer_svc.export.lookup_graph import add_lookup, add_table
from trainer_svc.table import EmbeddingTable, TableFull

WIDTH = 3
SPECIALS = 2
BUCKETS = 64
EXTREMES = [0, 1, -1, (1 << 63) - 1, -(1 << 63), 1 << 32, -(1 << 32), (1 << 32) + 1]
KEYS = st.one_of(
    st.sampled_from(EXTREMES),
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.integers(0, 40).map(lambda n: n << 32),
)


def lookup_model(buckets: int) -> onnx.ModelProto:
    graph = GraphBuilder("lookup")
    add_table(graph, "t", buckets, WIDTH, SPECIALS)
    graph.add("Gather", ["t.rows", add_lookup(graph, "t", buckets, "keys", "defaults")], "rows")
    info = helper.make_tensor_value_info
    inputs = [info(name, onnx.TensorProto.INT64, ["n"]) for name in ("keys", "defaults")]
    output = info("rows", onnx.TensorProto.FLOAT, ["n", WIDTH])
    body = helper.make_graph(graph.nodes, "g", inputs, [output], graph.initializers)
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


Level = onnxruntime.GraphOptimizationLevel


def session(
    model: onnx.ModelProto,
    folder: Path,
    arrays: dict[str, np.ndarray],
    level: Any = Level.ORT_DISABLE_ALL,  # serving's: an optimizer would compute with the empty files
) -> tuple[Any, list[Any]]:
    """A session over the given arrays, zero copy; the files that the graph names exist and are empty."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = level
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


def learn(table: EmbeddingTable, keys: list[int], rng: np.random.Generator, now_s: int = 1) -> None:
    n = len(keys)
    arguments = (np.array(keys, np.int64), np.zeros(n, np.uint16), np.ones(n, np.int64), now_s)
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


@given(
    rounds=st.lists(st.tuples(st.lists(KEYS, min_size=1, max_size=12), st.booleans()), min_size=1, max_size=6),
    seed=st.integers(0, 100),
)
@settings(max_examples=25, deadline=None)
def test_base_and_deltas_through_the_arena_equal_the_table(
    tmp_path_factory: pytest.TempPathFactory, rounds: list[tuple[list[int], bool]], seed: int
) -> None:
    """Keys come, move and are evicted. Every version, the old ones too, keeps reading what it read when published."""
    folder = tmp_path_factory.mktemp("arena")
    table, rng = filled(BUCKETS, [1, 2, 3], seed), np.random.default_rng(seed)
    keys = np.array([9, *EXTREMES, *(key for keys, _ in rounds for key in keys)], np.int64)
    acknowledged(table)
    base = decode_base(encode_base(table.base()), WIDTH, BUCKETS)
    arena = TableArena(folder / "arena", base, WIDTH, headroom=8.0)
    views = [(arena.root(), trainer_rows(table, keys))]
    for now_s, (new, evicts) in enumerate(rounds, start=2):
        learn(table, new, rng, now_s)
        table.evict(0, now_s if evicts else 0)
        table.rows[table.slots + 1] += 1.0
        buckets = acknowledged(table)
        delta = TableDelta.of_buckets(now_s, "p", buckets, *table.changed(buckets))
        delta = decode_delta(encode_delta(delta), WIDTH, BUCKETS)
        views.append((arena.derive(views[-1][0], delta), trainer_rows(table, keys)))
    for view, expected in views:
        runtime, _alive = session(lookup_model(BUCKETS), folder, arena_arrays(arena, view))
        feed = {"keys": keys, "defaults": np.full(keys.shape[0], view.special[1])}
        np.testing.assert_array_equal(runtime.run(None, feed)[0], expected)
    np.testing.assert_array_equal(arena.keys[views[-1][0].directory], table.keys)
    by_bucket = arena.rows.reshape(-1, SLOTS, WIDTH)[views[-1][0].directory]
    np.testing.assert_array_equal(by_bucket, table.base().rows)
    arena.close()


def acknowledged(table: EmbeddingTable) -> np.ndarray:
    buckets = table.tracker.take()
    table.tracker.acknowledge()
    return buckets


@pytest.mark.parametrize("level", [Level.ORT_DISABLE_ALL, Level.ORT_ENABLE_ALL])
def test_the_runtime_reads_more_buckets_than_the_graph_declares_and_copies_none(tmp_path: Path, level: Any) -> None:
    """What hot swap rests on: one graph, arrays of the arena, buckets written behind the declared ones."""
    table = filled(BUCKETS, [1, 2, 3], 0)
    arena = TableArena(tmp_path / "arena", table.base(), WIDTH, headroom=1.0)
    acknowledged(table)
    learn(table, [2], np.random.default_rng(0))
    buckets = acknowledged(table)
    view = arena.derive(arena.root(), TableDelta.of_buckets(1, "p", buckets, *table.changed(buckets)))
    arrays = arena_arrays(arena, view)
    runtime, values = session(lookup_model(BUCKETS), tmp_path, arrays, level)
    declared = BUCKETS * SLOTS + SPECIALS
    moved = int(view.directory[buckets[0]])
    assert moved * SLOTS >= declared
    assert arena.rows.shape[0] > declared
    for value, array in zip(values, arrays.values(), strict=True):
        assert value.data_ptr() == array.ctypes.data
    feed = {"keys": np.array([2]), "defaults": view.special[1:]}
    np.testing.assert_array_equal(runtime.run(None, feed)[0], trainer_rows(table, feed["keys"]))
    behind = np.memmap(tmp_path / "arena", np.float32, "r+", arena.rows.ctypes.data - arena.keys.ctypes.data)
    behind[moved * SLOTS * WIDTH : (moved + 1) * SLOTS * WIDTH] = 42.0
    np.testing.assert_array_equal(runtime.run(None, feed)[0], np.full((1, WIDTH), 42.0))
    arena.close()
