"""BYTES tensors: raw, each element is its length as 4 bytes, little-endian, and then itself. Pure."""

from collections.abc import Sequence
from struct import Struct
from typing import Final

import numpy as np
import numpy.typing as npt

from martlet.errors import InvalidInput

_LENGTH: Final = Struct("<I")


def unpacked(name: str, raw: bytes, count: int) -> list[bytes]:
    """The elements of a raw tensor.

    Raises:
        InvalidInput: there are not `count`, or a length points past the end; names the input.
    """
    elements: list[bytes] = []
    place, end = 0, len(raw)
    while place < end:
        start = place + _LENGTH.size
        place = start + _LENGTH.unpack_from(raw, place)[0] if start <= end else end + 1
        if place > end:
            raise InvalidInput(f"input {name!r}: element {len(elements)} reaches past the end of its {end} bytes")
        elements.append(raw[start:place])
    if len(elements) != count:
        raise InvalidInput(f"input {name!r} has {len(elements)} elements, expected {count}")
    return elements


def texts(name: str, elements: Sequence[bytes]) -> npt.NDArray[np.object_]:
    """Elements as an array of texts, as onnxruntime takes them: object[len(elements)].

    Raises:
        InvalidInput: an element is no UTF-8, which an ONNX string must be; names the input and the element.
    """
    array = np.empty(len(elements), object)
    for i, element in enumerate(elements):
        try:
            array[i] = element.decode()
        except UnicodeDecodeError as error:
            raise InvalidInput(f"input {name!r}: element {i} is not UTF-8, as ONNX strings are") from error
    return array


def packed(array: npt.NDArray[np.generic]) -> bytes:
    """An array of texts as a raw tensor."""
    parts = []
    for text in array.reshape(-1).tolist():
        element = str(text).encode()
        parts += [_LENGTH.pack(len(element)), element]
    return b"".join(parts)
