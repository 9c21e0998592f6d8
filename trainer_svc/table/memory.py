"""Large arrays in maps of their own: given back to the system as soon as nothing refers to them, in huge pages."""

import math
import mmap
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt

T = TypeVar("T", bound=np.generic)

LEAST_MAPPED: Final = 4 << 20
_COPIERS: Final = max(1, min(4, os.cpu_count() or 1))


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


def copy_into(target: npt.NDArray[Any], source: npt.NDArray[Any]) -> None:
    """Copies an array into one of the same shape: large ones by several threads.

    Most of the time goes into pages that are touched for the first time, which threads do side by side.
    """
    if target.nbytes < LEAST_MAPPED:
        np.copyto(target, source)
        return
    share = max(1, LEAST_MAPPED * target.shape[0] // target.nbytes)
    with ThreadPoolExecutor(_COPIERS) as threads:
        starts = range(0, target.shape[0], share)
        list(threads.map(lambda at: np.copyto(target[at : at + share], source[at : at + share]), starts))


def _ask_for_huge_pages(memory: Any) -> None:
    advice = getattr(mmap, "MADV_HUGEPAGE", None)
    if advice is None:
        return
    try:
        memory.madvise(advice)
    except OSError:  # a system without them
        return
