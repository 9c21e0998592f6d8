"""The datatypes of tensors: the Open Inference Protocol's name, a signature's name, NumPy's and ONNX's, in one table.

Two have no NumPy dtype that says what they are. BF16 is carried as its 16 raw bits, `V2`, so that nothing can compute
with it by mistake; BYTES is an object array of texts, since an ONNX string is UTF-8.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from martlet.errors import InvalidInput

BFLOAT16: Final = np.dtype("V2")
TEXT: Final = np.dtype(object)


@dataclass(frozen=True, slots=True)
class TensorType:
    """One datatype.

    Attributes:
        datatype: the protocol's name.
        name: a signature's name (`TensorSpec.dtype`).
        dtype: how arrays carry it, little-endian.
        contents: the field of `InferTensorContents` that carries it; "" if it must be raw.
        onnx: onnxruntime's name of such a tensor.
    """

    datatype: str
    name: str
    dtype: np.dtype[np.generic]
    contents: str
    onnx: str


ALL: Final = (
    TensorType("BOOL", "bool", np.dtype("|b1"), "bool_contents", "tensor(bool)"),
    TensorType("UINT8", "uint8", np.dtype("|u1"), "uint_contents", "tensor(uint8)"),
    TensorType("UINT16", "uint16", np.dtype("<u2"), "uint_contents", "tensor(uint16)"),
    TensorType("UINT32", "uint32", np.dtype("<u4"), "uint_contents", "tensor(uint32)"),
    TensorType("UINT64", "uint64", np.dtype("<u8"), "uint64_contents", "tensor(uint64)"),
    TensorType("INT8", "int8", np.dtype("|i1"), "int_contents", "tensor(int8)"),
    TensorType("INT16", "int16", np.dtype("<i2"), "int_contents", "tensor(int16)"),
    TensorType("INT32", "int32", np.dtype("<i4"), "int_contents", "tensor(int32)"),
    TensorType("INT64", "int64", np.dtype("<i8"), "int64_contents", "tensor(int64)"),
    TensorType("FP16", "float16", np.dtype("<f2"), "", "tensor(float16)"),
    TensorType("BF16", "bfloat16", BFLOAT16, "", "tensor(bfloat16)"),
    TensorType("FP32", "float32", np.dtype("<f4"), "fp32_contents", "tensor(float)"),
    TensorType("FP64", "float64", np.dtype("<f8"), "fp64_contents", "tensor(double)"),
    TensorType("BYTES", "string", TEXT, "bytes_contents", "tensor(string)"),
)
BY_DATATYPE: Final[Mapping[str, TensorType]] = {kind.datatype: kind for kind in ALL}
BY_NAME: Final[Mapping[str, TensorType]] = {kind.name: kind for kind in ALL}
BY_DTYPE: Final[Mapping[np.dtype[np.generic], TensorType]] = {kind.dtype: kind for kind in ALL}


def type_of(name: str) -> TensorType:
    """The datatype with a signature's name.

    Raises:
        InvalidInput: there is none.
    """
    kind = BY_NAME.get(name)
    if kind is None:
        raise InvalidInput(f"dtype {name!r} is not known (known: {', '.join(BY_NAME)})")
    return kind
