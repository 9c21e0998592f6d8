"""The served graph: raw ids in, scores out. The tables' lookups around the dense part.

User-side inputs have r rows and are looked up (and pooled) once a request; `row_of_user` then spreads them over the n
item rows. All id features of one width share one lookup.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

from martlet.feature_encoding import signature_of
from martlet.feature_spec import FeatureSpec
from martlet.learn.heads import SIGMOID, Head, TaskHead
from martlet.signature import LOGIT, Signature, TensorSpec
from trainer_svc.export.graph_builder import ELEMENT_TYPES, GraphBuilder, array_of, external_tensor
from trainer_svc.export.heads import add_heads
from trainer_svc.export.id_inputs import TableSpec, add_id_inputs, spread

__all__ = ["TableSpec", "compose", "materialise"]

DENSE: Final = "dense/"
ONE_PROBABILITY: Final = Head((TaskHead("", 0, 1, SIGMOID),))
_FIRST_OPSET: Final = 18  # BitwiseXor, and Split into equal parts


def compose(
    spec: FeatureSpec, tables: Sequence[TableSpec], dense: onnx.ModelProto, head: Head = ONE_PROBABILITY
) -> onnx.ModelProto:
    """Joins lookups and dense part; weights and tables stand outside the graph, under their names.

    Args:
        spec: the features and their salts.
        tables: every id feature of the spec belongs to exactly one.
        dense: inputs are named after the features (rows, a list's rows and `<name>_mask`, numbers as [n, 1], vectors as
            [n, size]); the one output is float32[n], or [n, columns] as the head wants it; its float32 initializers
            are the weights.
        head: what is made of the output.

    Raises:
        ValueError: the parts do not fit together; says which.
    """
    _check(dense)
    graph = GraphBuilder("lookup")
    ready: dict[str, str] = {}
    for table in tables:
        ready |= add_id_inputs(graph, spec, table)
    ready |= _numbers(graph, spec)
    lacking = [value.name for value in dense.graph.input if value.name not in ready]
    if lacking:
        raise ValueError(f"no feature gives the dense part's inputs {lacking}")
    output = LOGIT if head.is_plain else DENSE + "output"
    nodes, weights = _dense_part(dense, ready, output)
    heads = GraphBuilder("head")
    add_heads(heads, head, output)
    initializers = [*graph.initializers, *weights, *heads.initializers]
    signature = signature_of(spec, head.more)
    _check_names(signature, initializers)
    onnx_graph = helper.make_graph(
        [*graph.nodes, *nodes, *heads.nodes],
        "martlet",
        [_value_info(tensor) for tensor in signature.inputs],
        [_value_info(tensor) for tensor in signature.outputs],
        initializers,
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


def _check(dense: onnx.ModelProto) -> None:
    opset = max((entry.version for entry in dense.opset_import if entry.domain in ("", "ai.onnx")), default=0)
    if opset < _FIRST_OPSET:
        raise ValueError(f"the dense part is of opset {opset}; the lookup needs {_FIRST_OPSET}")
    if dense.functions or any(a.HasField("g") or a.graphs for node in dense.graph.node for a in node.attribute):
        raise ValueError("the dense part has functions or control flow, whose values cannot be renamed here")
    outputs = [value.name for value in dense.graph.output]
    if len(outputs) != 1 or outputs[0] not in {name for node in dense.graph.node for name in node.output}:
        raise ValueError(f"the dense part has outputs {outputs}; one that a node makes is wanted")


def _check_names(signature: Signature, initializers: Sequence[onnx.TensorProto]) -> None:
    names = [tensor.name for tensor in (*signature.inputs, *signature.outputs)] + [t.name for t in initializers]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"names stand for two things in one graph: {', '.join(twice)}")


def _value_info(tensor: TensorSpec) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(tensor.name, ELEMENT_TYPES[tensor.dtype], list(tensor.dims))


def _numbers(graph: GraphBuilder, spec: FeatureSpec) -> dict[str, str]:
    numbers = [feature for feature in spec.features if not feature.is_id]
    return {feature.name: spread(graph, feature.side, feature.name) for feature in numbers}


def _dense_part(
    dense: onnx.ModelProto, ready: Mapping[str, str], answer: str
) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """The dense graph with its values renamed out of the way; its weights become external, under their own names."""
    constants = {tensor.name for tensor in dense.graph.initializer}
    output = dense.graph.output[0].name

    def renamed(name: str) -> str:
        if name == output:
            return answer
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
