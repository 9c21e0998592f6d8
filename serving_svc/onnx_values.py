"""Runs with bfloat16 tensors, for which NumPy has no dtype: onnxruntime's own values carry their bits."""

import ctypes
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from serving_svc.servable import Tensors
from serving_svc.tensor_types import BFLOAT16

_ONNX_BFLOAT16: Final = 16  # TensorProto.DataType


def run_with_bfloat16(
    session: ort.InferenceSession, inputs: Mapping[str, npt.NDArray[np.generic]], outputs: Sequence[str]
) -> Tensors:
    """One run; bfloat16 tensors are arrays of raw bits (`BFLOAT16`), all others as usual."""
    values = {name: _value_of(array) for name, array in inputs.items()}
    results = session.run_with_ort_values(list(outputs), values)
    return {name: _array_of(value) for name, value in zip(outputs, results, strict=True)}


def _value_of(array: npt.NDArray[np.generic]) -> ort.OrtValue:
    if array.dtype != BFLOAT16:
        return ort.OrtValue.ortvalue_from_numpy(array)
    return ort.OrtValue.ortvalue_from_numpy_with_onnx_type(array.view(np.uint16), _ONNX_BFLOAT16)


def _array_of(value: ort.OrtValue) -> npt.NDArray[np.generic]:
    if value.element_type() != _ONNX_BFLOAT16:
        array: npt.NDArray[np.generic] = value.numpy()
        return array
    shape = value.shape()
    size = int(np.prod(shape, dtype=np.int64)) * BFLOAT16.itemsize
    return np.frombuffer(ctypes.string_at(value.data_ptr(), size), BFLOAT16).reshape(shape)
