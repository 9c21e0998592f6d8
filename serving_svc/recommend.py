"""Choosing k of the scored items: pure."""

import numpy as np
import numpy.typing as npt


def best_rows(
    logits: npt.NDArray[np.float32], k: int, excluded: npt.NDArray[np.int64] | None = None
) -> npt.NDArray[np.int64]:
    """The rows of the k highest logits, best first, without the excluded rows; at equal logits the earlier row wins.

    >>> best_rows(np.array([0.5, 2.0, 1.0], np.float32), 2).tolist()
    [1, 2]
    """
    values = logits
    if excluded is not None and excluded.size:
        values = logits.copy()
        values[excluded] = -np.inf
    allowed = int(np.count_nonzero(values > -np.inf))
    k = min(k, allowed)
    if k < values.shape[0] // 4:  # sorting few of many
        floor = np.partition(values, values.shape[0] - k)[values.shape[0] - k] if k else np.inf
        rows = np.flatnonzero(values >= floor)
        return rows[np.argsort(-values[rows], kind="stable")][:k]
    return np.argsort(-values, kind="stable")[:k]
