"""The Open Inference Protocol's tensors to arrays and back. Requests may be raw or typed, answers are always raw.

The hot path of `ModelInfer`: what is common is done in one pass over the inputs, what is wrong is looked for only when
something does not fit.
"""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Final

import numpy as np
import numpy.typing as npt

from martlet.errors import InvalidInput, NotFound
from martlet.oip import open_inference_pb2 as pb
from serving_svc.rpc.oip_bytes import packed, texts, unpacked
from serving_svc.tensor_inference import TensorAnswer, TensorQuery
from serving_svc.tensor_types import BY_DATATYPE, BY_DTYPE, TEXT, TensorType

SESSION_PARAMETER: Final = "session_id"
# Parameters of Triton's clients that change what an answer means: to ignore them would be to answer something else.
REFUSED_PARAMETERS: Final = ("classification", "shared_memory_region")

# Small integers travel in 32 bits and must fit into fewer.
_CARRIED: Final = {"int_contents": np.dtype(np.int32), "uint_contents": np.dtype(np.uint32)}
_PLAIN: Final = {kind.datatype: kind.dtype for kind in BY_DATATYPE.values() if kind.dtype is not TEXT}
_LONGEST_VERSION: Final = 19  # digits
_MAX_DIMS: Final = 64  # NumPy's

Array = npt.NDArray[np.generic]
Input = pb.ModelInferRequest.InferInputTensor


def query_of(request: pb.ModelInferRequest) -> TensorQuery:
    """Decodes a request. Raw contents are not copied again.

    Raises:
        InvalidInput: raw and typed contents are mixed, a name repeats, a datatype, shape or size is wrong, or a
            parameter asks for something that is not offered.
        NotFound: the version is no number.
    """
    parameters = request.parameters
    return TensorQuery(
        model=request.model_name,
        version=version_of(request.model_version, request.model_name),
        session=_session(parameters[SESSION_PARAMETER]) if SESSION_PARAMETER in parameters else "",
        inputs=_inputs(request),
        outputs=tuple([_wanted(output) for output in request.outputs[:]]),
    )


def version_of(text: str, model: str) -> int:
    """The version's number; 0 for "": the server chooses.

    Raises:
        NotFound: there can be no such version.
    """
    if not text:
        return 0
    if not (text.isascii() and text.isdigit()) or len(text) > _LONGEST_VERSION or text.startswith("0"):
        raise NotFound(f"no version {text!r} of {model!r}: versions are numbers from 1")
    return int(text)


def response_of(request_id: str, answer: TensorAnswer) -> pb.ModelInferResponse:
    """Encodes an answer. Its parameters name the version, its digest, the arm that answered and the prediction."""
    servable = answer.servable
    version = str(servable.version)
    response = pb.ModelInferResponse(model_name=servable.model, model_version=version, id=request_id)
    parameters = response.parameters
    parameters["version"].string_param = version
    parameters["digest"].string_param = servable.digest
    parameters["arm"].string_param = answer.arm.name.lower()
    parameters["prediction_id"].string_param = answer.prediction_id
    outputs, raw = response.outputs, response.raw_output_contents
    for name, array in answer.outputs.items():
        kind = BY_DTYPE[array.dtype]
        outputs.add(name=name, datatype=kind.datatype, shape=array.shape)
        raw.append(packed(array) if kind.dtype is TEXT else array.tobytes())
    return response


def _inputs(request: pb.ModelInferRequest) -> Mapping[str, Array]:
    tensors, raw = request.inputs, request.raw_input_contents
    if not raw:
        arrays = {tensor.name: _from_typed(tensor) for tensor in tensors}
    elif len(raw) == len(tensors):
        arrays = {tensor.name: _from_raw(tensor, data) for tensor, data in zip(tensors, raw, strict=True)}
    else:
        raise InvalidInput(f"raw_input_contents has {len(raw)} entries for {len(tensors)} inputs")
    if len(arrays) != len(tensors):
        names = [tensor.name for tensor in tensors]
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        raise InvalidInput(f"input {twice!r} is given twice")
    return arrays


def _from_raw(tensor: Input, raw: bytes) -> Array:
    dtype, shape = _PLAIN.get(tensor.datatype), tensor.shape[:]  # a slice is much cheaper than an iteration
    if dtype is not None and len(raw) == prod(shape) * dtype.itemsize and not tensor.HasField("contents"):
        try:
            return np.ndarray(shape, dtype, raw)
        except ValueError:  # sizes below zero, or more dimensions than NumPy has
            return _from_odd_raw(tensor, raw, shape)
    return _from_odd_raw(tensor, raw, shape)


def _from_odd_raw(tensor: Input, raw: bytes, shape: Sequence[int]) -> Array:
    """Texts; of anything else, what is wrong with it."""
    kind = _kind(tensor)
    if tensor.HasField("contents"):
        raise InvalidInput(f"input {tensor.name!r} has contents, but the request has raw_input_contents")
    count = _count(tensor, shape)
    if kind.dtype is TEXT:
        return texts(tensor.name, unpacked(tensor.name, raw, count)).reshape(shape)
    raise InvalidInput(f"input {tensor.name!r} has {len(raw)} bytes, expected {count * kind.dtype.itemsize}")


def _from_typed(tensor: Input) -> Array:
    kind, shape = _kind(tensor), tensor.shape[:]
    count = _count(tensor, shape)
    if not kind.contents:
        raise InvalidInput(f"input {tensor.name!r} is {kind.datatype}, which travels in raw_input_contents only")
    for other, _ in tensor.contents.ListFields():
        if other.name != kind.contents:
            raise InvalidInput(f"input {tensor.name!r} is {kind.datatype} but has {other.name}")
    values = getattr(tensor.contents, kind.contents)
    if len(values) != count:
        raise InvalidInput(f"input {tensor.name!r} has {len(values)} elements, expected {count}")
    if kind.dtype is TEXT:
        return texts(tensor.name, values).reshape(shape)
    return _numbers(tensor, kind, values).reshape(shape)


def _numbers(tensor: Input, kind: TensorType, values: Sequence[float]) -> Array:
    wide: Array = np.array(values, _CARRIED.get(kind.contents, kind.dtype))
    if wide.dtype == kind.dtype:
        return wide
    narrow = wide.astype(kind.dtype)
    if not np.array_equal(narrow, wide):
        raise InvalidInput(f"input {tensor.name!r} holds a value that is no {kind.datatype}")
    return narrow


def _kind(tensor: Input) -> TensorType:
    kind = BY_DATATYPE.get(tensor.datatype)
    if kind is None:
        known = ", ".join(BY_DATATYPE)
        raise InvalidInput(f"input {tensor.name!r} has datatype {tensor.datatype!r}, which is none of {known}")
    return kind


def _count(tensor: Input, shape: Sequence[int]) -> int:
    """How many elements; a Python integer, so that no shape can make it wrap around."""
    if len(shape) > _MAX_DIMS or (shape and min(shape) < 0):
        raise InvalidInput(f"input {tensor.name!r} has shape {list(shape[:_MAX_DIMS])}, which is no shape")
    return prod(shape)


def _wanted(output: pb.ModelInferRequest.InferRequestedOutputTensor) -> str:
    if output.parameters:
        for name in REFUSED_PARAMETERS:
            if name in output.parameters:
                raise InvalidInput(f"output {output.name!r}: parameter {name!r} is not offered here")
    return output.name


def _session(parameter: pb.InferParameter) -> str:
    kind = parameter.WhichOneof("parameter_choice")
    if kind == "string_param":
        return parameter.string_param
    if kind in {"int64_param", "uint64_param"}:
        return str(getattr(parameter, kind))
    raise InvalidInput(f"parameter {SESSION_PARAMETER!r} must be a text or a whole number")
