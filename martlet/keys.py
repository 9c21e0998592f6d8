"""From a caller's id to a 64-bit key: one published function, the same in trainer, serving and any client.

A number is its own 64-bit value; a text is XXH3-64 of its UTF-8 bytes. A key is that value plus the salt of its key
space, with int64 wrap-around. Adding a constant is injective, so two ids of one space never share a key; whether ids of
two spaces do is detected by the trainer when a row is allotted.
"""

from typing import Final

import xxhash

from martlet.errors import InvalidInput

_WRAP: Final = 1 << 64
_SIGN: Final = 1 << 63


def wrap_int64(value: int) -> int:
    """The int64 with the same low 64 bits."""
    value &= _WRAP - 1
    return value - _WRAP if value >= _SIGN else value


def text_id(text: str) -> int:
    """XXH3-64 (seed 0) of the UTF-8 bytes, as int64.

    >>> text_id("toy-story")
    -3692272769556332182
    """
    return wrap_int64(xxhash.xxh3_64_intdigest(text.encode()))


def id_value(value: int | str) -> int:
    """The raw 64-bit value of an id, before its space's salt is added.

    >>> id_value(-5)
    -5

    Raises:
        InvalidInput: an integer outside int64, or something that is no id.
    """
    if isinstance(value, str):
        return text_id(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidInput(f"{value!r} is not an id: an id is a 64-bit integer or a text")
    if not -_SIGN <= value < _SIGN:
        raise InvalidInput(f"id {value} does not fit into 64 bits")
    return value


# An absent scalar id is a category of its own that has a row like any other and is learned.
MISSING_ID: Final = text_id("\x00martlet:missing")

# An id that never gets a row: it is scored, and learned, as an id that nobody knows yet.
UNKNOWN_ID: Final = text_id("\x00martlet:unknown")


def space_salt(space: str) -> int:
    """The default salt of a key space: XXH3-64 of its name, seeded apart from ids."""
    return wrap_int64(xxhash.xxh3_64_intdigest(space.encode(), seed=0x6D6172746C6574))
