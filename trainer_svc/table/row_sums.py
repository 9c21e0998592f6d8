"""The gradients of a batch, summed by row: each distinct row is updated once."""

import numpy as np
import numpy.typing as npt

from trainer_svc.table import reading

Int64s = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


class RowSums:
    """Sums by row; its scratch is as large as the largest batch so far. Not thread-safe.

    >>> members, sums = RowSums(1)(np.array([7, 2, 7]), np.array([[1.0], [2.0], [3.0]], np.float32))
    >>> members.tolist(), sums.tolist()
    ([7, 2], [[4.0], [2.0]])
    """

    def __init__(self, width: int) -> None:
        self._groups = np.empty(0, np.int32)
        self._members = np.empty(0, np.int64)
        self._sums = np.empty((0, width), np.float32)

    def __call__(self, rows: Int64s, gradients: Floats) -> tuple[Int64s, Floats]:
        """Distinct rows as they first appear, int64[m], and their sums, float32[m, width]; both until the next call."""
        if self._members.shape[0] < rows.shape[0]:
            self._members = np.empty(rows.shape[0], np.int64)
            self._sums = np.empty((rows.shape[0], self._sums.shape[1]), np.float32)
            self._groups = np.empty(1 << (2 * rows.shape[0]).bit_length(), np.int32)
        rows, gradients = np.ascontiguousarray(rows, np.int64), np.ascontiguousarray(gradients, np.float32)
        groups = self._groups[: 1 << (2 * rows.shape[0]).bit_length()]
        count = reading.sum_by_row(rows, gradients, groups, self._members, self._sums)
        return self._members[:count], self._sums[:count]
