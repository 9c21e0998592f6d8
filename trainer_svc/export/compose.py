"""The served graph: raw ids in, scores out. The tables' lookups around the dense part.

User-side inputs have r rows and are looked up (and pooled) once a request; `row_of_user` then spreads them over the n
item rows. All id features of one width share one lookup.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

from martlet.feature_encoding import MASK_SUFFIX, signature_of
from martlet.feature_spec import Feature, FeatureKind, FeatureSpec, Side
from martlet.signature import LOGIT, ROW_OF_USER, SCORE, TensorSpec
from trainer_svc.export.graph_builder import ELEMENT_TYPES, GraphBuilder, array_of, external_tensor
from trainer_svc.export.lookup_graph import add_lookup, add_table

DENSE = "dense/"


@dataclass(frozen=True, slots=True)
class TableSpec:
    """One table of a graph: the id features of its width in order; feature i has the default row special 1 + i."""

    name: str
    width: int
    buckets: int
    features: tuple[str, ...]

    @property
    def specials(self) -> int:
        """The zero row and the default rows."""
        return 1 + len(self.features)


def compose(
    spec: FeatureSpec, tables: Sequence[TableSpec], dense: onnx.ModelProto, link: str = "sigmoid"
) -> onnx.ModelProto:
    """Joins lookups and dense part; weights and tables stand outside the graph, under their names."""
    graph = GraphBuilder("lookup")
    ready: dict[str, str] = {}
    for table in tables:
        add_table(graph, table.name, table.buckets, table.width, table.specials)
        ready |= _table_features(graph, spec, table)
    ready |= _numbers(graph, spec)
    nodes, weights = _dense_part(dense, ready)
    score = helper.make_node("Sigmoid" if link == "sigmoid" else "Identity", [LOGIT], [SCORE], name=SCORE)
    signature = signature_of(spec)
    onnx_graph = helper.make_graph(
        [*graph.nodes, *nodes, score],
        "martlet",
        [_value_info(tensor) for tensor in signature.inputs],
        [_value_info(tensor) for tensor in signature.outputs],
        [*graph.initializers, *weights],
    )
    return helper.make_model(onnx_graph, opset_imports=dense.opset_import, ir_version=dense.ir_version)


def materialise(model: bytes, arrays: Mapping[str, npt.NDArray[np.generic]], folder: Path) -> Path:
    """Writes a version as a plain ONNX folder that any runtime opens; returns the model's path."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        (folder / f"{name}.bin").write_bytes(np.ascontiguousarray(array).tobytes())
    path = folder / "model.onnx"
    path.write_bytes(model)
    return path


def _value_info(tensor: TensorSpec) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(tensor.name, ELEMENT_TYPES[tensor.dtype], list(tensor.dims))


def _table_features(graph: GraphBuilder, spec: FeatureSpec, table: TableSpec) -> dict[str, str]:
    """Looks all features of a table up at once; returns what each dense input is fed with."""
    features = {name: next(f for f in spec.features if f.name == name) for name in table.features}
    sides = [side for side in Side if any(f.side is side for f in features.values())]
    keys, defaults, shapes = [], [], []
    for side in sides:
        mine = [feature for feature in features.values() if feature.side is side]
        ids = graph.add("Concat", [_as_matrix(graph, feature) for feature in mine], axis=1)
        salts = [spec.salts[f.space] for f in mine for _ in range(_ids(f))]
        keys.append(_flat(graph, graph.add("Add", [ids, graph.constant(salts)])))
        places = [1 + table.features.index(f.name) for f in mine for _ in range(_ids(f))]
        default = graph.add("Gather", [f"{table.name}.special", graph.constant(places)])
        shape = graph.add("Shape", [ids])
        defaults.append(_flat(graph, graph.add("Expand", [default, shape])))
        shapes.append(shape)
    rows = add_lookup(graph, table.name, table.buckets, _joined(graph, keys), _joined(graph, defaults))
    return _split_sides(graph, table, features, sides, rows, shapes)


def _split_sides(
    graph: GraphBuilder,
    table: TableSpec,
    features: Mapping[str, Feature],
    sides: Sequence[Side],
    rows: str,
    shapes: Sequence[str],
) -> dict[str, str]:
    ready: dict[str, str] = {}
    width = graph.constant([table.width])
    zero = graph.constant([0])
    for position, side in enumerate(sides):
        part = rows
        if len(sides) > 1:  # the first side's rows come first
            count = graph.add("ReduceProd", [shapes[0]], keepdims=1)
            start, end = (zero, count) if position == 0 else (count, graph.constant([np.iinfo(np.int64).max]))
            part = graph.add("Slice", [rows, start, end, zero])
        block = graph.add("Reshape", [part, graph.add("Concat", [shapes[position], width], axis=0)])
        column = 0
        for feature in (f for f in features.values() if f.side is side):
            ends = graph.constant([column + _ids(feature)])
            piece = graph.add("Slice", [block, graph.constant([column]), ends, graph.constant([1])])
            ready |= _feature_inputs(graph, feature, piece)
            column += _ids(feature)
    return ready


def _feature_inputs(graph: GraphBuilder, feature: Feature, rows: str) -> dict[str, str]:
    """What the dense part gets for one id feature: its rows (masked, pooled), and the mask where it wants one."""
    name, ready = feature.name, {}
    if feature.kind is FeatureKind.ID:
        ready[name] = graph.add("Squeeze", [rows, graph.constant([1])])
    else:
        mask = name + MASK_SUFFIX
        ready[name] = graph.add("Mul", [rows, graph.add("Unsqueeze", [mask, graph.constant([2])])])
        if feature.pool:
            ready[name] = _pooled(graph, feature, ready[name], mask)
        else:
            ready[mask] = mask
    return {key: _spread(graph, feature, value) for key, value in ready.items()}


def _pooled(graph: GraphBuilder, feature: Feature, rows: str, mask: str) -> str:
    axis = graph.constant([1])
    total = graph.add("ReduceSum", [rows, axis], keepdims=0)
    if feature.pool == "sum":
        return total
    count = graph.add("ReduceSum", [mask, axis], keepdims=1)
    return graph.add("Div", [total, graph.add("Max", [count, graph.constant(1.0, np.float32)])])


def _numbers(graph: GraphBuilder, spec: FeatureSpec) -> dict[str, str]:
    numbers = [feature for feature in spec.features if feature.kind is FeatureKind.NUMBER]
    return {feature.name: _spread(graph, feature, feature.name) for feature in numbers}


def _spread(graph: GraphBuilder, feature: Feature, value: str) -> str:
    """User-side values, one row a request, as one row an item."""
    return graph.add("Gather", [value, ROW_OF_USER]) if feature.side is Side.USER else value


def _as_matrix(graph: GraphBuilder, feature: Feature) -> str:
    if feature.kind is FeatureKind.ID:
        return graph.add("Unsqueeze", [feature.name, graph.constant([1])])
    return feature.name


def _ids(feature: Feature) -> int:
    return feature.max_len if feature.kind is FeatureKind.ID_LIST else 1


def _flat(graph: GraphBuilder, value: str) -> str:
    return graph.add("Reshape", [value, graph.constant([-1])])


def _joined(graph: GraphBuilder, values: Sequence[str]) -> str:
    return values[0] if len(values) == 1 else graph.add("Concat", list(values), axis=0)


def _dense_part(
    dense: onnx.ModelProto, ready: Mapping[str, str]
) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """The dense graph with its values renamed out of the way; its weights become external, under their own names."""
    constants = {tensor.name for tensor in dense.graph.initializer}
    output = dense.graph.output[0].name

    def renamed(name: str) -> str:
        if name == output:
            return LOGIT
        return ready.get(name) or (name if name in constants or not name else DENSE + name)

    nodes: list[onnx.NodeProto] = []
    for number, node in enumerate(dense.graph.node):
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copy.name = f"{DENSE}{number}_{node.name}"  # names are optional in ONNX, but given ones must differ
        copy.input[:] = [renamed(name) for name in node.input]
        copy.output[:] = [renamed(name) for name in node.output]
        nodes.append(copy)
    return nodes, [_as_external(tensor) for tensor in dense.graph.initializer]


def _as_external(tensor: onnx.TensorProto) -> onnx.TensorProto:
    """Floating-point weights change from version to version; integer constants are part of the graph."""
    array = array_of(tensor)
    if array.dtype != np.float32:
        return tensor
    return external_tensor(tensor.name, "float32", array.shape)
