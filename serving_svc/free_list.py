"""Free physical buckets of an arena: given-back ones are used again before new ones."""

import numpy as np
import numpy.typing as npt


class FreeList:
    """So many physical buckets, all free at first. Not thread-safe."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._next = 0  # behind it are those never used
        self._given: list[npt.NDArray[np.int32]] = []
        self._given_count = 0

    @property
    def count(self) -> int:
        """Free buckets."""
        return self._capacity - self._next + self._given_count

    def end_after(self, wanted: int) -> int:
        """How far the buckets ever used will reach when so many are taken."""
        return self._next + max(0, wanted - self._given_count)

    def take(self, wanted: int) -> npt.NDArray[np.int32]:
        """So many buckets, different ones; there must be as many."""
        parts: list[npt.NDArray[np.int32]] = []
        missing = wanted
        while missing and self._given:
            given = self._given.pop()
            parts.append(given[:missing])
            if given.shape[0] > missing:
                self._given.append(given[missing:])
            missing -= parts[-1].shape[0]
        self._given_count -= wanted - missing
        parts.append(np.arange(self._next, self._next + missing, dtype=np.int32))
        self._next += missing
        return np.concatenate(parts)

    def give(self, buckets: npt.NDArray[np.int32]) -> None:
        """Takes buckets back that were taken, each once."""
        if buckets.shape[0]:
            self._given.append(buckets)
            self._given_count += buckets.shape[0]
