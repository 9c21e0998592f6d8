"""A sparse file in memory: room that costs nothing until it is used, and disk reserved before it is written."""

import contextlib
import mmap
import os
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt

_POPULATE_READ: Final = 22  # MADV_POPULATE_READ, Linux 5.14

T = TypeVar("T", bound=np.generic)


class SparseFile:
    """A new file, mapped shared. Not thread-safe; its arrays may be read by anyone.

    Args:
        path: a file that stands there is unlinked: who has mapped it keeps what it has.
        size: bytes; they read as zero.
    """

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(self._handle, size)
            self._map = mmap.mmap(self._handle, size)
        except BaseException:
            self.close()
            raise

    def array(self, dtype: type[T], offset: int, count: int) -> npt.NDArray[T]:
        """An array over the file. It keeps the memory alive, longer than this object where need be."""
        return np.frombuffer(self._map, dtype, count, offset)

    def reserve(self, offset: int, length: int) -> None:
        """Puts disk behind a range. Writing where there is none, on a full disk, would be a bus error.

        Raises:
            OSError: there is no room.
        """
        if length:
            os.posix_fallocate(self._handle, offset, length)

    def populate(self, offset: int, length: int) -> None:
        """Maps a range's pages now, where the kernel can; otherwise the first readers wait for them."""
        start = offset - offset % mmap.PAGESIZE
        with contextlib.suppress(OSError, ValueError):
            self._map.madvise(_POPULATE_READ, start, length + offset - start)

    def close(self) -> None:
        """Unlinks the file. Its memory goes with the last array over it. Idempotent."""
        if self._handle < 0:
            return
        os.close(self._handle)
        self._handle = -1
        self._path.unlink(missing_ok=True)
