"""Memory that was freed, given back to the machine."""

import ctypes
import ctypes.util
from typing import Final

WORTH_BYTES: Final = 8 << 20


def give_back(freed: int) -> None:
    """After `freed` bytes were freed: glibc keeps what it was given until it is asked.

    An onnxruntime session of 195 MB that was dropped left 199 MB resident; trimming gave them back. Blocks for some
    milliseconds (without the GIL), so little is left alone. Does nothing where there is no glibc.
    """
    trim = getattr(_libc, "malloc_trim", None) if freed >= WORTH_BYTES else None
    if trim is not None:
        trim(0)


def _loaded() -> ctypes.CDLL | None:
    name = ctypes.util.find_library("c")
    return ctypes.CDLL(name) if name else None


_libc: Final = _loaded()
