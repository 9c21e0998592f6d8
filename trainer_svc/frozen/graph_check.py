"""What a foreign graph must be before it is offered: standard operators in one file, tensors in, tensors out."""

from typing import Final

import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, inliner

from martlet.errors import InvalidInput
from martlet.signature import Dim, Signature, TensorSpec

DOMAINS: Final = ("", "ai.onnx", "ai.onnx.ml")
_DRAWS: Final = ("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial")
_INNER: Final = (onnx.defs.OpSchema.AttrType.GRAPH, onnx.defs.OpSchema.AttrType.GRAPHS)
_OWN_ROWS: Final = ("n", "r")  # Martlet's names of item and user rows, along which it joins requests


def allowed_operators() -> frozenset[tuple[str, str]]:
    """(domain, operator) of all that a graph may be made of: ONNX's own and ONNX-ML's.

    Not those that hold an inner graph, since what they cost cannot be told beforehand, nor those that draw random
    numbers, since the same request would get another answer.
    """
    found: set[tuple[str, str]] = set()
    for schema in onnx.defs.get_all_schemas_with_history():
        inner = any(attribute.type in _INNER for attribute in schema.attributes.values())
        if schema.domain in DOMAINS and not inner and schema.name not in _DRAWS:
            found.add((schema.domain, schema.name))
    return frozenset(found)


def read_graph(data: bytes) -> onnx.ModelProto:
    """The model in a file's bytes, functions written out.

    Raises:
        InvalidInput: no ONNX model; or it holds what is not taken. The message says what.
    """
    try:
        model = onnx.load_model_from_string(data)
    except Exception as error:  # protobuf has several classes of its own
        raise InvalidInput(f"not an ONNX model that can be read: {error}") from error
    if not model.graph.output:
        raise InvalidInput("not an ONNX model: its graph has no outputs")
    if model.functions:
        model = inliner.inline_local_functions(model)
    for tensor in model.graph.initializer:
        if tensor.data_location == TensorProto.EXTERNAL:
            raise InvalidInput(f"initializer {tensor.name!r} stands in another file: save the model as one file")
    allowed = allowed_operators()
    for node in model.graph.node:
        domain = "" if node.domain == "ai.onnx" else node.domain
        if (domain, node.op_type) not in allowed:
            raise InvalidInput(_refusal(node))
        if any(a.t.data_location == TensorProto.EXTERNAL for a in node.attribute if a.HasField("t")):
            raise InvalidInput(f"node {node.name!r} has a tensor in another file: save the model as one file")
    return model


def signature_of_graph(model: onnx.ModelProto) -> Signature:
    """The tensors of a graph. Dimensions keep their names, unless those are Martlet's own.

    Raises:
        InvalidInput: an input or output is no tensor.
    """
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    return Signature(tuple(map(_tensor, inputs)), tuple(map(_tensor, model.graph.output)))


def open_graph(data: bytes) -> ort.InferenceSession:
    """A session as serving makes it: unoptimised, one thread.

    Raises:
        InvalidInput: onnxruntime refuses the graph.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has a class of its own for each of its statuses
        raise InvalidInput(f"onnxruntime refuses the graph: {error}") from error


def _refusal(node: onnx.NodeProto) -> str:
    name = f"{node.domain}.{node.op_type}" if node.domain not in ("", "ai.onnx") else node.op_type
    if any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute):
        return f"operator {name} (node {node.name!r}) is control flow, which is not taken"
    if node.op_type in _DRAWS:
        return f"operator {name} (node {node.name!r}) draws random numbers, which is not taken"
    return f"operator {name} (node {node.name!r}) is none of ONNX's own; not every runtime has it"


def _tensor(value: onnx.ValueInfoProto) -> TensorSpec:
    if not value.type.HasField("tensor_type"):
        kind = value.type.WhichOneof("value")
        raise InvalidInput(
            f"{value.name!r} is a {kind}, not a tensor (of scikit-learn's classifiers: convert with zipmap=False)"
        )
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        raise InvalidInput(f"{value.name!r} has no shape: its dimensions must be known, by number or by name")
    dims = tuple(_dim(dim, f"{value.name}.{axis}") for axis, dim in enumerate(tensor.shape.dim))
    dtype = "string" if tensor.elem_type == TensorProto.STRING else _dtype(tensor.elem_type)
    return TensorSpec(value.name, dtype, dims)


def _dtype(element: int) -> str:
    if element == TensorProto.BFLOAT16:
        return "bfloat16"
    return str(helper.tensor_dtype_to_np_dtype(element))


def _dim(dim: onnx.TensorShapeProto.Dimension, unnamed: str) -> Dim:
    if dim.HasField("dim_value"):
        return int(dim.dim_value)
    # Rows named so would be joined with other requests' rows: of a foreign graph nobody knows that it may be.
    return f"{dim.dim_param}_" if dim.dim_param in _OWN_ROWS else dim.dim_param or unnamed
