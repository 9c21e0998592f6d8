"""A set of 64-bit hashes that takes 16 to 32 bytes of memory for each; Python's own takes a hundred."""

from typing import Final

import numpy as np
import numpy.typing as npt

_LEAST: Final = 1024
_LEAST_BITS: Final = 11
_SLACK: Final = 64  # cells behind the last home, so that probing seldom reaches the end


class HashSet:
    """Hashes, and a table of their places (open addressing, linear probing: Knuth, TAOCP 3, section 6.4, algorithm L).

    At most half of the table is taken. A hash's home is told by its upper bits, so hashes must be even there. The table
    has no wrap-around: behind its last home there is room, and its last cell stays empty. Not thread-safe.

    Args:
        hashes: what it begins with, uint64[n], each once; it may be written to.
    """

    def __init__(self, hashes: npt.NDArray[np.uint64]) -> None:
        self._hashes = hashes
        self._used = len(hashes)
        self._build()

    def __len__(self) -> int:
        return self._used

    def __contains__(self, name: int) -> bool:
        places, hashes, at = self._places, self._view, name >> self._shift
        while place := places[at]:
            if hashes[place - 1] == name:
                return True
            at += 1
        return False

    def add(self, name: int) -> None:
        """Adds a hash that is not in it."""
        if self._used == self._hashes.shape[0]:
            self._hashes = np.concatenate([self._hashes, np.zeros(max(_LEAST, self._used), np.uint64)])
            self._view = self._hashes.data
        self._hashes[self._used] = name
        self._used += 1
        places, at = self._places, name >> self._shift
        while places[at]:
            at += 1
        places[at] = self._used
        if self._used > self._most or at == len(places) - 1:
            self._build()

    @property
    def hashes(self) -> npt.NDArray[np.uint64]:
        """In the order in which they came, uint64[n]; not a copy."""
        return self._hashes[: self._used]

    def _build(self) -> None:
        """Makes the table, with room for as many again: each hash, by their homes, at its home or right behind."""
        bits = max(_LEAST_BITS, self._used.bit_length() + 1)
        self._shift, self._most = 64 - bits, 1 << (bits - 1)
        homes = (self.hashes >> np.uint64(self._shift)).astype(np.int64)
        order, ranks = np.argsort(homes, kind="stable"), np.arange(self._used)
        cells = ranks + np.maximum.accumulate(homes[order] - ranks)
        end = int(cells[-1]) + 1 if self._used else 0
        table = np.zeros(max(1 << bits, end) + _SLACK, np.uint32)
        table[cells] = order + 1
        self._places, self._view = table.data, self._hashes.data
