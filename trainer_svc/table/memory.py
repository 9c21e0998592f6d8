"""Large arrays in maps of their own: given back to the system as soon as nothing refers to them, in huge pages."""

import math
import mmap
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt

T = TypeVar("T", bound=np.generic)

LEAST_MAPPED: Final = 4 << 20


def zeros(shape: tuple[int, ...], dtype: type[T]) -> npt.NDArray[T]:
    """Zeros; pages that were never written take no memory.

    An anonymous private map from 4 MiB on, which the allocator does not keep when it is freed. With huge pages a lookup
    in gigabytes rarely misses the processor's list of pages.

    Raises:
        MemoryError: the system gives no more.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size < LEAST_MAPPED:
        return np.zeros(shape, dtype)
    try:
        memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError as error:
        raise MemoryError(f"no {size} bytes for a table's array: {error}") from error
    _ask_for_huge_pages(memory)
    return np.frombuffer(memory, dtype).reshape(shape)


def _ask_for_huge_pages(memory: Any) -> None:
    advice = getattr(mmap, "MADV_HUGEPAGE", None)
    if advice is None:
        return
    try:
        memory.madvise(advice)
    except OSError:  # a system without them
        return
