"""What a foreign graph must be before it is offered: standard operators in one file, tensors in, tensors out."""

import sys
from typing import Final

import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, inliner

from martlet.allowed_operators import GraphRules, check_operators
from martlet.errors import Corrupt, InvalidInput
from martlet.signature import Dim, Signature, TensorSpec

_DRAWS: Final = ("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial")
_OWN_ROWS: Final = ("n", "r")  # Martlet's names of item and user rows, along which it joins requests
# How large a graph may be is a setting of the registry's.
_RULES: Final = GraphRules(max_bytes=sys.maxsize, max_nodes=sys.maxsize)


def read_graph(data: bytes) -> onnx.ModelProto:
    """The model in a file's bytes, functions written out: what any registry takes, with fixed answers, in one file.

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
    for node in model.graph.node:
        if node.op_type in _DRAWS:  # the same request would get another answer
            raise InvalidInput(f"operator {node.op_type} (node {node.name!r}) draws random numbers, which is not taken")
    try:
        check_operators(model.SerializeToString(), _RULES)
    except Corrupt as error:
        raise InvalidInput(str(error)) from error
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
