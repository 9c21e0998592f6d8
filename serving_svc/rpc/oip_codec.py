"""The Open Inference Protocol's tensors to arrays and back. Requests may be raw or typed, answers are always raw."""

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from martlet.errors import InvalidInput, NotFound
from martlet.oip import open_inference_pb2 as pb
from martlet.signature import TensorSpec
from serving_svc.inference import TensorAnswer, TensorQuery

SESSION_PARAMETER: Final = "session_id"

# Datatype: NumPy's name for it (little-endian) and the field of InferTensorContents that carries it.
_DATATYPES: Final[Mapping[str, tuple[str, str]]] = {
    "BOOL": ("|b1", "bool_contents"),
    "UINT8": ("|u1", "uint_contents"),
    "UINT16": ("<u2", "uint_contents"),
    "UINT32": ("<u4", "uint_contents"),
    "UINT64": ("<u8", "uint64_contents"),
    "INT8": ("|i1", "int_contents"),
    "INT16": ("<i2", "int_contents"),
    "INT32": ("<i4", "int_contents"),
    "INT64": ("<i8", "int64_contents"),
    "FP16": ("<f2", ""),
    "FP32": ("<f4", "fp32_contents"),
    "FP64": ("<f8", "fp64_contents"),
}
# Small integers travel in 32 bits and must fit into fewer.
_CARRIED: Final = {"int_contents": np.dtype(np.int32), "uint_contents": np.dtype(np.uint32)}
_NAME_OF: Final = {np.dtype(name).newbyteorder("="): datatype for datatype, (name, _) in _DATATYPES.items()}
_MAX_DIMS: Final = 8

Input = pb.ModelInferRequest.InferInputTensor


def query_of(request: pb.ModelInferRequest) -> TensorQuery:
    """Decodes a request.

    Raises:
        InvalidInput: raw and typed contents are mixed, a name repeats, or a datatype, shape or size is wrong.
        NotFound: the version is no number.
    """
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise InvalidInput(f"raw_input_contents has {len(raw)} entries for {len(request.inputs)} inputs")
    inputs: dict[str, npt.NDArray[np.generic]] = {}
    for i, tensor in enumerate(request.inputs):
        if tensor.name in inputs:
            raise InvalidInput(f"input {tensor.name!r} is given twice")
        inputs[tensor.name] = _array(tensor, raw[i] if raw else None)
    return TensorQuery(
        model=request.model_name,
        version=version_of(request.model_version, request.model_name),
        session=request.parameters[SESSION_PARAMETER].string_param if SESSION_PARAMETER in request.parameters else "",
        inputs=inputs,
        outputs=tuple(output.name for output in request.outputs),
    )


def version_of(text: str, model: str) -> int:
    """The version's number; 0 for "": the server chooses.

    Raises:
        NotFound: there can be no such version.
    """
    if not text:
        return 0
    if not (text.isascii() and text.isdigit()) or int(text) == 0:
        raise NotFound(f"no version {text!r} of {model!r}: versions are numbers from 1")
    return int(text)


def response_of(request: pb.ModelInferRequest, answer: TensorAnswer) -> pb.ModelInferResponse:
    """Encodes an answer. Its parameters name the version's digest and the arm that answered."""
    response = pb.ModelInferResponse(
        model_name=answer.servable.model, model_version=str(answer.servable.version), id=request.id
    )
    response.parameters["digest"].string_param = answer.servable.digest
    response.parameters["arm"].string_param = answer.arm.name.lower()
    for name, array in answer.outputs.items():
        datatype = _NAME_OF[array.dtype]
        response.outputs.add(name=name, datatype=datatype, shape=array.shape)
        response.raw_output_contents.append(np.ascontiguousarray(array, np.dtype(_DATATYPES[datatype][0])).tobytes())
    return response


def metadata_of(spec: TensorSpec) -> pb.ModelMetadataResponse.TensorMetadata:
    """A tensor of a signature; a dimension of any size is -1."""
    shape = [dim if isinstance(dim, int) else -1 for dim in spec.dims]
    return pb.ModelMetadataResponse.TensorMetadata(name=spec.name, datatype=_NAME_OF[np.dtype(spec.dtype)], shape=shape)


def _array(tensor: Input, raw: bytes | None) -> npt.NDArray[np.generic]:
    if tensor.datatype not in _DATATYPES:
        raise InvalidInput(f"input {tensor.name!r} has datatype {tensor.datatype!r}, which is not taken here")
    name, field = _DATATYPES[tensor.datatype]
    dtype, shape = np.dtype(name), tuple(tensor.shape)
    if len(shape) > _MAX_DIMS or any(size < 0 for size in shape):
        raise InvalidInput(f"input {tensor.name!r} has shape {list(shape)}, which is no shape")
    count = 1
    for size in shape:
        count *= size
    if raw is None:
        return _typed(tensor, field, dtype, count).reshape(shape)
    if tensor.HasField("contents"):
        raise InvalidInput(f"input {tensor.name!r} has contents, but the request has raw_input_contents")
    if len(raw) != count * dtype.itemsize:
        raise InvalidInput(f"input {tensor.name!r} has {len(raw)} bytes, expected {count * dtype.itemsize}")
    return np.frombuffer(raw, dtype).reshape(shape)


def _typed(tensor: Input, field: str, dtype: np.dtype[np.generic], count: int) -> npt.NDArray[np.generic]:
    for other, _ in tensor.contents.ListFields():
        if other.name != field:
            raise InvalidInput(f"input {tensor.name!r} is {tensor.datatype} but has {other.name}")
    values = getattr(tensor.contents, field) if field else ()
    if len(values) != count:
        raise InvalidInput(f"input {tensor.name!r} has {len(values)} elements, expected {count}")
    wide = np.array(values, _CARRIED.get(field, dtype))
    narrow = wide.astype(dtype)
    if dtype.kind in "iu" and not np.array_equal(narrow, wide):
        raise InvalidInput(f"input {tensor.name!r} holds a value that is no {tensor.datatype}")
    return narrow
