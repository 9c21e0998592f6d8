"""A foreign graph behind Martlet's inputs and outputs, so that Rank and Recommend can ask it.

Its rows are item rows: user-side features are spread over them. Its weights stay inside the graph.
"""

from typing import Final

import numpy as np
import onnx
from onnx import TensorProto, helper

from martlet.errors import InvalidInput
from martlet.feature_encoding import signature_of
from martlet.feature_spec import Feature
from martlet.signature import LOGIT, SCORE, TensorSpec
from trainer_svc.export.graph_builder import ELEMENT_TYPES, GraphBuilder
from trainer_svc.export.id_inputs import spread
from trainer_svc.frozen.named_inputs import NamedInputs, Score

_INNER: Final = "model/"
_FIRST_OPSET: Final = 11  # Clip with bounds that are inputs
_SURE: Final = 1e-7  # a probability of 0 or 1 has no logit


def wrapped(model: onnx.ModelProto, named: NamedInputs) -> onnx.ModelProto:
    """The graph with `signature_of(named.spec)`.

    Raises:
        InvalidInput: the file and the graph do not fit together; says where.
    """
    if max((item.version for item in model.opset_import if item.domain in ("", "ai.onnx")), default=0) < _FIRST_OPSET:
        raise InvalidInput(f"the graph is of an older opset than {_FIRST_OPSET}: convert it again, for a newer one")
    graph = GraphBuilder("wrap")
    weights = {tensor.name for tensor in model.graph.initializer}
    ready = {value.name: _input(graph, value, named) for value in model.graph.input if value.name not in weights}
    unknown = sorted(named.parts.keys() - ready.keys())
    if unknown:
        raise InvalidInput(f"inputs names {unknown[0]!r}; the graph's inputs are {', '.join(ready)}")
    output = _output(model, named.score)
    nodes = [_renamed(node, number, ready) for number, node in enumerate(model.graph.node)]
    after = GraphBuilder("score")
    _add_score(after, ready.get(output.name, _INNER + output.name), output, named.score)
    tensors = [_named(tensor) for tensor in model.graph.initializer]
    signature = signature_of(named.spec)
    whole = helper.make_graph(
        [*graph.nodes, *nodes, *after.nodes],
        "martlet",
        [_value_info(tensor) for tensor in signature.inputs],
        [_value_info(tensor) for tensor in signature.outputs],
        [*graph.initializers, *tensors, *after.initializers],
    )
    return helper.make_model(whole, opset_imports=model.opset_import, ir_version=model.ir_version)


def _input(graph: GraphBuilder, value: onnx.ValueInfoProto, named: NamedInputs) -> str:
    """What the features make of one input of the graph."""
    if value.name not in named.parts:
        raise InvalidInput(f"the graph's input {value.name!r} is not among inputs ({', '.join(named.parts)})")
    parts = named.parts[value.name]
    tensor = value.type.tensor_type
    dims, size = tensor.shape.dim, sum(feature.max_len for feature, _ in parts)
    if len(dims) not in (1, 2):
        raise InvalidInput(f"the graph's input {value.name!r} has {len(dims)} dimensions; features make [n] or [n, k]")
    wanted = dims[1].dim_value if len(dims) == 2 and dims[1].HasField("dim_value") else size  # noqa: PLR2004
    if (len(dims) == 1 and size != 1) or wanted != size:
        raise InvalidInput(f"the graph's input {value.name!r} takes {wanted} numbers an item, its features give {size}")
    pieces = [_piece(graph, feature, missing, tensor.elem_type) for feature, missing in parts]
    joined = pieces[0] if len(pieces) == 1 else graph.add("Concat", pieces, axis=1)
    return graph.add("Reshape", [joined, graph.constant([-1])]) if len(dims) == 1 else joined


def _piece(graph: GraphBuilder, feature: Feature, missing: float, element: int) -> str:
    """One feature as [n, size], of the input's element type."""
    rows = spread(graph, feature.side, feature.name)
    if feature.is_id:
        rows = graph.add("Reshape", [rows, graph.constant([-1, 1])])
        return rows if element == TensorProto.INT64 else graph.add("Cast", [rows], to=element)
    if not np.isnan(missing):
        rows = graph.add("Where", [graph.add("IsNaN", [rows]), graph.constant(missing, np.float32), rows])
    return rows if element == TensorProto.FLOAT else graph.add("Cast", [rows], to=element)


def _output(model: onnx.ModelProto, score: Score) -> onnx.ValueInfoProto:
    outputs = {value.name: value for value in model.graph.output}
    if not score.output and len(outputs) == 1:
        return next(iter(outputs.values()))
    if score.output not in outputs:
        raise InvalidInput(f"score names the output {score.output!r}; the graph's outputs are {', '.join(outputs)}")
    return outputs[score.output]


def _add_score(graph: GraphBuilder, value: str, output: onnx.ValueInfoProto, score: Score) -> None:
    dims = output.type.tensor_type.shape.dim
    if len(dims) not in (1, 2):
        raise InvalidInput(f"output {output.name!r} has {len(dims)} dimensions; a score is [n] or a column of [n, k]")
    if len(dims) == 2:  # noqa: PLR2004
        columns = dims[1].dim_value
        if dims[1].HasField("dim_value") and not 0 <= score.column < columns:
            raise InvalidInput(f"output {output.name!r} has no column {score.column}: it has {columns}")
        value = graph.add("Gather", [value, graph.constant(score.column)], axis=1)
    if output.type.tensor_type.elem_type != TensorProto.FLOAT:
        value = graph.add("Cast", [value], to=TensorProto.FLOAT)
    if score.kind == "probability":
        graph.add("Identity", [value], SCORE)
        low, high = (graph.constant(bound, np.float32) for bound in (_SURE, 1 - _SURE))
        sure = graph.add("Clip", [value, low, high])
        odds = graph.add("Div", [sure, graph.add("Sub", [graph.constant(1.0, np.float32), sure])])
        graph.add("Log", [odds], LOGIT)
    else:
        graph.add("Identity", [value], LOGIT)
        graph.add("Sigmoid" if score.kind == "logit" else "Identity", [LOGIT], SCORE)


def _renamed(node: onnx.NodeProto, number: int, ready: dict[str, str]) -> onnx.NodeProto:
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    copy.name = f"{_INNER}{number}_{node.name}"  # names are optional in ONNX, but given ones must differ
    copy.input[:] = [ready.get(name) or (_INNER + name if name else "") for name in node.input]
    copy.output[:] = [_INNER + name if name else "" for name in node.output]
    return copy


def _named(tensor: onnx.TensorProto) -> onnx.TensorProto:
    copy = onnx.TensorProto()
    copy.CopyFrom(tensor)
    copy.name = _INNER + tensor.name
    return copy


def _value_info(tensor: TensorSpec) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(tensor.name, ELEMENT_TYPES[tensor.dtype], list(tensor.dims))
