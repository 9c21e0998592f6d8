"""Makes an exported graph smaller without touching a weight: serving runs graphs unoptimised.

Computes what depends on constants alone, drops nodes that pass their input through, and nodes that nothing needs.
"""

from collections.abc import Mapping
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

Arrays = dict[str, npt.NDArray[Any]]
_FOLDED: Final = frozenset(
    ("Cast", "Concat", "Expand", "Gather", "Identity", "Reshape", "Shape", "Slice", "Squeeze", "Unsqueeze")
)
_MAX_ELEMENTS: Final = 1 << 16


def simplify(model: onnx.ModelProto, weights: set[str]) -> None:
    """Changes the model in place. Afterwards its initializers are weights only; constants stand in `Constant` nodes."""
    graph = model.graph
    constants: Arrays = {
        tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer if tensor.name not in weights
    }
    outputs = {value.name for value in graph.output}
    types = _types(model)
    renamed: dict[str, str] = {}
    kept: list[onnx.NodeProto] = []
    for node in graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        if node.op_type == "Constant":
            constants[node.output[0]] = _value_of(node)
        elif node.op_type == "CastLike" and node.input[0] in constants and node.input[1] in types:
            constants[node.output[0]] = constants[node.input[0]].astype(types[node.input[1]])
        elif _folds(node, constants, outputs):
            constants[node.output[0]] = _computed(node, constants, model)
        elif _passes_through(node, constants) and node.output[0] not in outputs:
            renamed[node.output[0]] = node.input[0]
        else:
            kept.append(node)
    kept = _needed(kept, outputs)
    used = {name for node in kept for name in node.input}
    nodes = [_constant(name, constants[name]) for name in constants if name in used | outputs]
    initializers = [tensor for tensor in graph.initializer if tensor.name in weights]
    del graph.node[:], graph.initializer[:]
    graph.node.extend([*nodes, *kept])
    graph.initializer.extend(initializers)


def _types(model: onnx.ModelProto) -> dict[str, np.dtype[Any]]:
    """The dtypes of values, as far as onnx can infer them."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    inferred = {value.name: value.type.tensor_type.elem_type for value in (*graph.value_info, *graph.input)}
    return {name: helper.tensor_dtype_to_np_dtype(kind) for name, kind in inferred.items() if kind}


def _folds(node: onnx.NodeProto, constants: Mapping[str, npt.NDArray[Any]], outputs: set[str]) -> bool:
    return (
        node.op_type in _FOLDED
        and all(name in constants for name in node.input if name)
        and node.output[0] not in outputs
        and sum(constants[name].size for name in node.input if name) <= _MAX_ELEMENTS
    )


def _computed(
    node: onnx.NodeProto, constants: Mapping[str, npt.NDArray[Any]], model: onnx.ModelProto
) -> npt.NDArray[Any]:
    lone = helper.make_model(
        helper.make_graph([node], "one", [], [onnx.ValueInfoProto(name=node.output[0])]),
        opset_imports=model.opset_import,
    )
    lone.graph.initializer.extend(numpy_helper.from_array(constants[name], name) for name in set(node.input) if name)
    (value,) = cast("list[npt.NDArray[Any]]", ReferenceEvaluator(lone).run(None, {}))
    return np.asarray(value)


def _passes_through(node: onnx.NodeProto, constants: Mapping[str, npt.NDArray[Any]]) -> bool:
    if node.op_type == "Identity":
        return True
    if node.op_type != "Slice" or any(name not in constants for name in node.input[1:]):
        return False
    starts, ends = constants[node.input[1]], constants[node.input[2]]
    steps = constants[node.input[4]] if len(node.input) > 4 else np.ones_like(starts)  # noqa: PLR2004
    return bool((starts == 0).all() and (ends == np.iinfo(np.int64).max).all() and (steps == 1).all())


def _needed(nodes: list[onnx.NodeProto], outputs: set[str]) -> list[onnx.NodeProto]:
    wanted = set(outputs)
    kept = []
    for node in reversed(nodes):
        if wanted.intersection(node.output):
            kept.append(node)
            wanted.update(node.input)
    return kept[::-1]


def _value_of(node: onnx.NodeProto) -> npt.NDArray[Any]:
    attribute = node.attribute[0]
    value = helper.get_attribute_value(attribute)
    if attribute.name == "value":
        return np.asarray(numpy_helper.to_array(value))
    return np.array(value, np.float32 if attribute.name.startswith("value_float") else np.int64)


def _constant(name: str, value: npt.NDArray[Any]) -> onnx.NodeProto:
    return helper.make_node("Constant", [], [name], name=f"constant_{name}", value=numpy_helper.from_array(value))
