"""The wire format of protobuf, read field by field, where the library for a message is not at hand. Pure.

Stricter than a parser need be: what parsers read differently (a tag or a length beyond 32 bits, a group) is refused, so
that nobody sees another message than the one that was checked.
Source: https://protobuf.dev/programming-guides/encoding/
"""

from collections.abc import Iterator
from typing import Final

VARINT: Final = 0
FIXED64: Final = 1
BYTES: Final = 2
FIXED32: Final = 5

_SIZES: Final = {FIXED64: 8, FIXED32: 4}
_MAX_VARINT: Final = 10
_MAX_32: Final = 1 << 32
_MORE: Final = 0x80

Value = int | memoryview


def fields(message: memoryview) -> Iterator[tuple[int, Value]]:
    """Field numbers and values in their order; a value is a number, or the bytes of anything else.

    Raises:
        ValueError, IndexError: not a message.
    """
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind = tag & 7
        if tag >= _MAX_32 or tag < 1 << 3:
            raise ValueError(f"tag {tag}")
        if kind == VARINT:
            value, at = _varint(message, at)
            yield tag >> 3, value
            continue
        if kind not in (BYTES, FIXED64, FIXED32):
            raise ValueError(f"wire type {kind}")
        size = _SIZES.get(kind, 0)
        if kind == BYTES:
            size, at = _varint(message, at)
        if at + size > len(message):
            raise IndexError("a field reaches beyond its message")
        yield tag >> 3, message[at : at + size]
        at += size


def messages(message: memoryview, wanted: int) -> Iterator[memoryview]:
    """The values of one field that holds messages, or other bytes."""
    for field, value in fields(message):
        if field == wanted and isinstance(value, memoryview):
            yield value


def packed(values: memoryview) -> Iterator[int]:
    """The numbers of a packed field of varints."""
    at = 0
    while at < len(values):
        value, at = _varint(values, at)
        yield value


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for i in range(_MAX_VARINT):
        byte = message[at + i]
        value |= (byte & (_MORE - 1)) << (7 * i)
        if byte < _MORE:
            return value, at + i + 1
    raise ValueError("a number of more than 10 bytes")
