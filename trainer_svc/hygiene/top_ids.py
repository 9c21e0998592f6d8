"""The most frequent ids of a stream, in arrays of one size.

Misra-Gries counters (J. Misra, D. Gries, Science of Computer Programming 2, 1982), merged batch by batch (P. Agarwal
et al., Mergeable summaries, PODS 2012): with k counters an id that makes up more than 1 / (k + 1) of the stream is
always among them, and its count is too small by at most that share of the stream.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

Arrays = dict[str, npt.NDArray[np.generic]]
COUNTERS: Final = 64


class TopIds:
    """See the module's docstring. Not thread-safe."""

    def __init__(self) -> None:
        self._ids = np.zeros(0, np.int64)
        self._counts = np.zeros(0, np.int64)

    def add(self, ids: npt.NDArray[np.int64]) -> None:
        """Takes ids in, int64[n]."""
        own, counts = np.unique(ids, return_counts=True)
        merged, where = np.unique(np.concatenate([self._ids, own]), return_inverse=True)
        totals = np.bincount(where, np.concatenate([self._counts, counts])).astype(np.int64)
        if totals.shape[0] > COUNTERS:
            totals = totals - np.partition(totals, -COUNTERS - 1)[-COUNTERS - 1]
            merged, totals = merged[totals > 0], totals[totals > 0]
        self._ids, self._counts = merged, totals

    def top(self, count: int) -> list[tuple[int, int]]:
        """The most frequent ones with their counts (lower bounds), the most frequent first."""
        order = np.argsort(-self._counts, kind="stable")[:count]
        return [(int(self._ids[place]), int(self._counts[place])) for place in order]

    def forget(self, value: int) -> None:
        """Drops an id."""
        keep = self._ids != value
        self._ids, self._counts = self._ids[keep], self._counts[keep]

    def state(self) -> Arrays:
        """The counters (not copies)."""
        return {"ids": self._ids, "counts": self._counts}

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Takes a state over (copies)."""
        self._ids, self._counts = np.array(state["ids"], np.int64), np.array(state["counts"], np.int64)
