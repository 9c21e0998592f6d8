"""A small builder of ONNX graphs: nodes and constants with names, in order."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

ELEMENT_TYPES = {
    "int64": TensorProto.INT64,
    "int32": TensorProto.INT32,
    "float32": TensorProto.FLOAT,
    "float16": TensorProto.FLOAT16,
}


class GraphBuilder:
    """Collects nodes and initializers. Not thread-safe."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._count = 0
        self._constants: dict[tuple[bytes, str, tuple[int, ...]], str] = {}
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def add(self, operator: str, inputs: Sequence[str], output: str = "", **attributes: Any) -> str:
        """Adds a node with one output and returns the output's name."""
        self._count += 1
        name = output or f"{self._prefix}/{self._count}_{operator}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], name=name, **attributes))
        return name

    def split(self, value: str, count: int, sizes: str = "") -> list[str]:
        """Cuts a value along its first axis: into `count` equal parts, or parts of the given sizes (int64[count])."""
        if count == 1:
            return [value]
        self._count += 1
        name = f"{self._prefix}/{self._count}_Split"
        parts = [f"{name}_{part}" for part in range(count)]
        if sizes:
            self.nodes.append(helper.make_node("Split", [value, sizes], parts, name=name, axis=0))
        else:
            self.nodes.append(helper.make_node("Split", [value], parts, name=name, axis=0, num_outputs=count))
        return parts

    def constant(
        self, value: float | Sequence[int] | Sequence[Sequence[int]], dtype: type[np.generic] = np.int64
    ) -> str:
        """A constant inside the graph. A number is 0-dimensional: one-element vectors are several times slower."""
        array = np.array(value, dtype)
        key = (array.tobytes(), str(array.dtype), array.shape)
        if key not in self._constants:
            self._constants[key] = f"{self._prefix}/c{len(self._constants)}"
            self.initializers.append(numpy_helper.from_array(array, self._constants[key]))
        return self._constants[key]

    def external(self, name: str, dtype: str, shape: Sequence[int]) -> str:
        """An initializer whose data stand outside the graph, in `<name>.bin`."""
        self.initializers.append(external_tensor(name, dtype, shape))
        return name


def external_tensor(name: str, dtype: str, shape: Sequence[int]) -> onnx.TensorProto:
    """An initializer without data that names its file."""
    tensor = TensorProto(name=name, data_type=ELEMENT_TYPES[dtype], dims=list(shape))
    tensor.data_location = TensorProto.EXTERNAL
    size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    for key, value in (("location", f"{name}.bin"), ("offset", "0"), ("length", str(size))):
        tensor.external_data.add(key=key, value=value)
    return tensor


def array_of(tensor: onnx.TensorProto) -> npt.NDArray[np.generic]:
    """An initializer's data."""
    return np.asarray(numpy_helper.to_array(tensor))
