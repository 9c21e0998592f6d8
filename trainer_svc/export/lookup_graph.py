"""The table's lookup as standard ONNX operators, for any number of keys at once."""

import numpy as np
from onnx import TensorProto

from martlet.table_layout import C1, C2, C3, SHIFT1, SHIFT2, SLOTS
from trainer_svc.export.graph_builder import GraphBuilder


def add_table(graph: GraphBuilder, table: str, buckets: int, width: int, specials: int, dtype: str = "float32") -> None:
    """Declares the table's arrays: what a version fills in. An arena may fill in more keys and rows than declared."""
    graph.external(f"{table}.directory", "int32", [buckets])
    graph.external(f"{table}.keys", "int64", [buckets, SLOTS])
    graph.external(f"{table}.rows", dtype, [buckets * SLOTS + specials, width])
    graph.external(f"{table}.special", "int64", [specials])


def add_gather(graph: GraphBuilder, table: str, rows: str, dtype: str) -> str:
    """The rows of these numbers as float32, whatever the table holds."""
    values = graph.add("Gather", [f"{table}.rows", rows])
    return values if dtype == "float32" else graph.add("Cast", [values], to=TensorProto.FLOAT)


def add_lookup(graph: GraphBuilder, table: str, buckets: int, keys: str, defaults: str) -> str:
    """Row numbers of salted keys: int64[N] keys and int64[N] rows for absent ones give int64[N]."""
    first, second = _buckets(graph, keys, buckets)
    near = graph.add("Gather", [f"{table}.directory", first])
    far = graph.add("Gather", [f"{table}.directory", second])
    slot = _matching_slot(graph, table, keys, near, far)
    bucket = graph.add("Where", [graph.add("Less", [slot, graph.constant(SLOTS)]), near, far])
    start = graph.add("Mul", [graph.add("Cast", [bucket], to=TensorProto.INT64), graph.constant(SLOTS)])
    row = graph.add("Add", [start, graph.add("BitwiseAnd", [slot, graph.constant(SLOTS - 1)])])
    return graph.add("Where", [graph.add("Less", [slot, graph.constant(0)]), defaults, row])


def _buckets(graph: GraphBuilder, keys: str, buckets: int) -> tuple[str, str]:
    """The hash of `martlet.table_layout`: two int64[N] logical buckets."""

    def u64(value: int) -> str:
        return graph.constant(value, np.uint64)

    def right(value: str, bits: int) -> str:
        return graph.add("BitShift", [value, u64(bits)], direction="RIGHT")

    h = graph.add("Mul", [graph.add("Cast", [keys], to=TensorProto.UINT64), u64(C1)])
    h = graph.add("Mul", [graph.add("BitwiseXor", [h, right(h, SHIFT1)]), u64(C2)])
    h = graph.add("Mul", [graph.add("BitwiseXor", [h, right(h, SHIFT2)]), u64(C3)])
    low = graph.add("BitwiseAnd", [h, u64(0xFFFFFFFF)])
    first = right(graph.add("Mul", [right(h, 32), u64(buckets)]), 32)
    second = right(graph.add("Mul", [low, u64(buckets - 1)]), 32)
    first = graph.add("Cast", [first], to=TensorProto.INT64)
    second = graph.add("Cast", [second], to=TensorProto.INT64)
    skip = graph.add("Cast", [graph.add("GreaterOrEqual", [second, first])], to=TensorProto.INT64)
    return first, graph.add("Add", [second, skip])


def _matching_slot(graph: GraphBuilder, table: str, keys: str, near: str, far: str) -> str:
    """Which of the eight slots holds the key: int64[N], 0..3 in the near bucket, 4..7 in the far one, else -1.

    At most one of eight comparisons holds, so a product with 1..8 tells which. (ArgMax is eight times slower.)
    """
    last = graph.constant([1])
    pair = graph.add("Concat", [graph.add("Unsqueeze", [near, last]), graph.add("Unsqueeze", [far, last])], axis=1)
    slots = graph.add("Reshape", [graph.add("Gather", [f"{table}.keys", pair]), graph.constant([-1, 2 * SLOTS])])
    equal = graph.add("Equal", [slots, graph.add("Unsqueeze", [keys, last])])
    weights = graph.constant([[place] for place in range(1, 2 * SLOTS + 1)], np.float32)
    product = graph.add("Gemm", [graph.add("Cast", [equal], to=TensorProto.FLOAT), weights])
    place = graph.add("Cast", [graph.add("Squeeze", [product, last])], to=TensorProto.INT64)
    return graph.add("Sub", [place, graph.constant(1)])
