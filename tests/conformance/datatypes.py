"""The protocol's datatypes: their sizes, the field that carries them, and values worth sending. Pure."""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

Value = bool | int | float | bytes


@dataclass(frozen=True, slots=True)
class Datatype:
    """One datatype.

    Attributes:
        name: the protocol's name.
        code: of `struct`, little-endian; "" for BF16 and BYTES.
        size: bytes of one element; 0 for BYTES.
        contents: the field of `InferTensorContents`; "" if it must be raw.
        edges: values that must pass unchanged.
    """

    name: str
    code: str
    size: int
    contents: str
    edges: tuple[Value, ...]

    def raw(self, values: Sequence[Value]) -> bytes:
        """Elements as raw bytes; BYTES elements each behind their length."""
        if self.name == "BYTES":
            return b"".join(struct.pack("<I", len(value)) + value for value in values if isinstance(value, bytes))
        if self.name == "BF16":
            return b"".join(struct.pack("<f", value)[2:] for value in values)
        return struct.pack(f"<{len(values)}{self.code}", *values)

    def values(self, raw: bytes) -> tuple[Value, ...]:
        """Raw bytes as elements.

        Raises:
            ValueError: they are no whole number of elements.
        """
        if self.name == "BYTES":
            return tuple(_elements(raw))
        if len(raw) % self.size:
            raise ValueError(f"{len(raw)} bytes are no whole number of {self.name} elements")
        if self.name == "BF16":
            return tuple(struct.unpack("<f", b"\0\0" + raw[i : i + 2])[0] for i in range(0, len(raw), 2))
        return struct.unpack(f"<{len(raw) // self.size}{self.code}", raw)

    @property
    def zero(self) -> Value:
        """The value that is certainly harmless."""
        return {"BOOL": False, "BYTES": b""}.get(self.name, 0)

    @property
    def one(self) -> Value:
        """A small value that is not zero."""
        return {"BOOL": True, "BYTES": b"1"}.get(self.name, 1)


def _elements(raw: bytes) -> list[bytes]:
    elements, place = [], 0
    while place < len(raw):
        (length,) = struct.unpack_from("<I", raw, place) if place + 4 <= len(raw) else (len(raw),)
        if place + 4 + length > len(raw):
            raise ValueError(f"element {len(elements)} reaches past the end of {len(raw)} bytes")
        elements.append(raw[place + 4 : place + 4 + length])
        place += 4 + length
    return elements


def _signed(bits: int) -> tuple[int, ...]:
    return (-(1 << (bits - 1)), -1, 0, (1 << (bits - 1)) - 1)


def _unsigned(bits: int) -> tuple[int, ...]:
    return (0, 1, (1 << bits) - 2, (1 << bits) - 1)


ALL: Final = (
    Datatype("BOOL", "?", 1, "bool_contents", (False, True, True, False)),
    Datatype("UINT8", "B", 1, "uint_contents", _unsigned(8)),
    Datatype("UINT16", "H", 2, "uint_contents", _unsigned(16)),
    Datatype("UINT32", "I", 4, "uint_contents", _unsigned(32)),
    Datatype("UINT64", "Q", 8, "uint64_contents", _unsigned(64)),
    Datatype("INT8", "b", 1, "int_contents", _signed(8)),
    Datatype("INT16", "h", 2, "int_contents", _signed(16)),
    Datatype("INT32", "i", 4, "int_contents", _signed(32)),
    Datatype("INT64", "q", 8, "int64_contents", _signed(64)),
    Datatype("FP16", "e", 2, "", (-65504.0, -0.0, 6.103515625e-05, 65504.0)),
    Datatype("BF16", "", 2, "", (-3.3895313892515355e38, -0.0, 1.1754943508222875e-38, 3.3895313892515355e38)),
    Datatype(
        "FP32", "f", 4, "fp32_contents", (-3.4028234663852886e38, -0.0, 1.401298464324817e-45, 0.10000000149011612)
    ),
    Datatype("FP64", "d", 8, "fp64_contents", (-1.7976931348623157e308, -0.0, 5e-324, 0.1)),
    Datatype("BYTES", "", 0, "bytes_contents", (b"", b"a\0b", "Żółw 日本".encode(), b"x" * 300)),
)
BY_NAME: Final[Mapping[str, Datatype]] = {datatype.name: datatype for datatype in ALL}
CONTENTS: Final = tuple(dict.fromkeys(datatype.contents for datatype in ALL if datatype.contents))
