"""What an ONNX graph says of its external initializers: name, dtype, dimensions, file. Pure.

Reads just these few fields of the ONNX protobuf, so that serving needs no ONNX library to check what onnxruntime does
not: that an array put in an initializer's place has its dtype and dimensions.
Field numbers: onnx/onnx.proto (ModelProto.graph 7, GraphProto.initializer 5, TensorProto.{dims 1, data_type 2, name 8,
external_data 13, data_location 14}).
"""

from dataclasses import dataclass
from typing import Final

from martlet.allowed_operators import is_plain_name
from martlet.errors import Corrupt
from martlet.protobuf_reader import fields, messages, packed

_GRAPH, _INITIALIZER = 7, 5
_DIMS, _DATA_TYPE, _NAME, _EXTERNAL_DATA, _DATA_LOCATION = 1, 2, 8, 13, 14
_KEY, _VALUE = 1, 2
_EXTERNAL: Final = 1
_DTYPES: Final = {1: "float32", 6: "int32", 7: "int64", 9: "bool", 10: "float16", 11: "float64"}
_INT32: Final = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class Initializer:
    """One external initializer. `location` is its file's name, beside the graph."""

    name: str
    dtype: str
    dims: tuple[int, ...]
    location: str


def external_initializers(graph: bytes) -> dict[str, Initializer]:
    """All external initializers of the top-level graph, by name.

    Raises:
        Corrupt: not an ONNX model, or a file name that leads elsewhere.
    """
    found: dict[str, Initializer] = {}
    try:
        for body in messages(memoryview(graph), _GRAPH):
            for tensor in messages(body, _INITIALIZER):
                initializer = _initializer(tensor)
                if initializer is not None:
                    found[initializer.name] = initializer
    except (IndexError, ValueError, KeyError) as error:
        raise Corrupt(f"not an ONNX graph that can be read: {error!r}") from error
    return found


def _initializer(tensor: memoryview) -> Initializer | None:
    dims: list[int] = []
    name, dtype, location, external = "", 0, "", False
    for field, value in fields(tensor):
        if field == _DIMS:
            dims.extend([value] if isinstance(value, int) else packed(value))
        elif field == _DATA_TYPE and isinstance(value, int):
            dtype = value
        elif field == _NAME and isinstance(value, memoryview):
            name = bytes(value).decode()
        elif field == _DATA_LOCATION:
            external = isinstance(value, int) and value & _INT32 == _EXTERNAL
        elif field == _EXTERNAL_DATA and isinstance(value, memoryview):
            location = _entry(value).get("location", location)
    if not external:
        return None
    if not is_plain_name(location):
        raise Corrupt(f"initializer {name!r} names the file {location!r}: it must stand beside the graph")
    return Initializer(name, _DTYPES.get(dtype, f"type {dtype}"), tuple(dims), location)


def _entry(message: memoryview) -> dict[str, str]:
    parts = {field: bytes(value).decode() for field, value in fields(message) if isinstance(value, memoryview)}
    return {parts.get(_KEY, ""): parts.get(_VALUE, "")}
