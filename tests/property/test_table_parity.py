"""One table, four readers: the trainer, onnxruntime, ONNX's reference evaluator, and serving's arena."""

from dataclasses import replace
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

from martlet.learn.optimizers import RowWiseAdaGrad
from martlet.manifest import BlobRef, TableManifest
from martlet.table_blobs import TableDelta, decode_base, decode_delta, encode_base, encode_delta
from martlet.table_layout import SLOTS
from serving_svc.table_arena import TableArena, TableView
from trainer_svc.delta_tracker import Touched
from trainer_svc.export.graph_builder import GraphBuilder
from trainer_svc.export.lookup_graph import add_gather, add_lookup, add_table
from trainer_svc.table import EmbeddingTable, TableFull
from trainer_svc.table.columns import RowType
from trainer_svc.table.updates import RowUpdate
from trainer_svc.version_builder import TableChange

WIDTH = 3
SPECIALS = 2
BUCKETS = 64
EXTREMES = [0, 1, -1, (1 << 63) - 1, -(1 << 63), 1 << 32, -(1 << 32), (1 << 32) + 1]
KEYS = st.one_of(
    st.sampled_from(EXTREMES),
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.integers(0, 40).map(lambda n: n << 32),
)


def lookup_model(buckets: int, dtype: RowType = "float32") -> onnx.ModelProto:
    graph = GraphBuilder("lookup")
    add_table(graph, "t", buckets, WIDTH, SPECIALS, dtype)
    found = add_gather(graph, "t", add_lookup(graph, "t", buckets, "keys", "defaults"), dtype)
    graph.add("Identity", [found], "rows")
    info = helper.make_tensor_value_info
    inputs = [info(name, onnx.TensorProto.INT64, ["n"]) for name in ("keys", "defaults")]
    output = info("rows", onnx.TensorProto.FLOAT, ["n", WIDTH])
    body = helper.make_graph(graph.nodes, "g", inputs, [output], graph.initializers)
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


DTYPES = st.sampled_from(["float32", "float16"])
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


def reference_rows(
    model: onnx.ModelProto, arrays: dict[str, np.ndarray], keys: np.ndarray, defaults: np.ndarray
) -> np.ndarray:
    for tensor in model.graph.initializer:
        if tensor.name in arrays:
            tensor.CopyFrom(onnx.numpy_helper.from_array(arrays[tensor.name], tensor.name))
    with np.errstate(over="ignore"):
        (rows,) = ReferenceEvaluator(model).run(None, {"keys": keys, "defaults": defaults})
    return np.asarray(rows)


def filled(buckets: int, keys: list[int], seed: int, dtype: RowType = "float32") -> EmbeddingTable:
    table = EmbeddingTable("t", WIDTH, buckets, SPECIALS, dtype=dtype)
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
            table.update(rows, rng.normal(size=(n, WIDTH)).astype(np.float32), RowUpdate(RowWiseAdaGrad(), 0.1))
            return


def trainer_rows(table: EmbeddingTable, keys: np.ndarray) -> np.ndarray:
    found = table.find(keys)
    return table.gather(np.where(found < 0, table.slots + 1, found))


@given(
    buckets=st.sampled_from([4, 5, 9, 64]),
    held=st.lists(KEYS, max_size=20),
    asked=st.lists(KEYS, min_size=1, max_size=20),
    seed=st.integers(0, 100),
    dtype=DTYPES,
)
@settings(max_examples=60, deadline=None)
def test_trainer_runtime_and_reference_agree(
    tmp_path_factory: pytest.TempPathFactory, buckets: int, held: list[int], asked: list[int], seed: int, dtype: RowType
) -> None:
    table = filled(buckets, held, seed, dtype)
    keys = np.array([*asked, *held], np.int64)
    expected = trainer_rows(table, keys)
    arrays = table_arrays(table)
    feed = {"keys": keys, "defaults": np.full(keys.shape[0], table.slots + 1)}
    model = lookup_model(table.buckets, dtype)
    runtime, _alive = session(model, tmp_path_factory.mktemp("s"), arrays)
    np.testing.assert_array_equal(runtime.run(None, feed)[0], expected)
    np.testing.assert_array_equal(reference_rows(model, arrays, keys, feed["defaults"]), expected)


@given(
    rounds=st.lists(st.tuples(st.lists(KEYS, min_size=1, max_size=12), st.booleans()), min_size=1, max_size=6),
    seed=st.integers(0, 100),
    dtype=DTYPES,
)
@settings(max_examples=40, deadline=None)
def test_base_and_deltas_through_the_arena_equal_the_table(
    tmp_path_factory: pytest.TempPathFactory, rounds: list[tuple[list[int], bool]], seed: int, dtype: RowType
) -> None:
    """Keys come, move and are evicted. Every version, the old ones too, keeps reading what it read when published."""
    folder = tmp_path_factory.mktemp("arena")
    table, rng = filled(BUCKETS, [1, 2, 3], seed, dtype), np.random.default_rng(seed)
    keys = np.array([9, *EXTREMES, *(key for keys, _ in rounds for key in keys)], np.int64)
    acknowledged(table)
    base = decode_base(encode_base(table.base()), WIDTH, BUCKETS, dtype)
    arena = TableArena(folder / "arena", base, WIDTH, headroom=8.0)
    views = [(arena.root(), trainer_rows(table, keys))]
    for now_s, (new, evicts) in enumerate(rounds, start=2):
        learn(table, new, rng, now_s)
        table.evict(0, now_s if evicts else 0)
        table.rows[table.slots + 1] += 1.0
        delta = decode_delta(encode_delta(changes(table, now_s)), WIDTH, BUCKETS, dtype)
        views.append((arena.derive(views[-1][0], delta), trainer_rows(table, keys)))
    for view, expected in views:
        runtime, _alive = session(lookup_model(BUCKETS, dtype), folder, arena_arrays(arena, view))
        feed = {"keys": keys, "defaults": np.full(keys.shape[0], view.special[1])}
        np.testing.assert_array_equal(runtime.run(None, feed)[0], expected)
    np.testing.assert_array_equal(arena.keys[views[-1][0].directory], table.keys)
    by_bucket = arena.rows.reshape(-1, SLOTS, WIDTH)[views[-1][0].directory]
    np.testing.assert_array_equal(by_bucket, table.base().rows)
    arena.close()


def acknowledged(table: EmbeddingTable) -> Touched:
    touched = table.tracker.take()
    table.tracker.acknowledge()
    return touched


def changes(table: EmbeddingTable, sequence: int) -> TableDelta:
    """What changed since the last acknowledgement, as the trainer ships it."""
    parent = TableManifest("t", WIDTH, table.buckets, table.dtype, BlobRef("p", 0))
    return replace(TableChange(parent, table.changed(acknowledged(table))).delta(), sequence=sequence)


@pytest.mark.parametrize("level", [Level.ORT_DISABLE_ALL, Level.ORT_ENABLE_ALL])
def test_the_runtime_reads_more_buckets_than_the_graph_declares_and_copies_none(tmp_path: Path, level: Any) -> None:
    """What hot swap rests on: one graph, arrays of the arena, buckets written behind the declared ones."""
    table = filled(BUCKETS, [1, 2, 3], 0)
    arena = TableArena(tmp_path / "arena", table.base(), WIDTH, headroom=1.0)
    acknowledged(table)
    learn(table, [2], np.random.default_rng(0))
    delta = changes(table, 1)
    view = arena.derive(arena.root(), delta)
    arrays = arena_arrays(arena, view)
    runtime, values = session(lookup_model(BUCKETS), tmp_path, arrays, level)
    declared = BUCKETS * SLOTS + SPECIALS
    moved = int(view.directory[delta.buckets[0]])
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
