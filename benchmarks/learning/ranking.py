"""How well groups of examples are ordered."""

import numpy as np
import numpy.typing as npt

Int64s = npt.NDArray[np.int64]
Floats = npt.NDArray[np.floating]


def ndcg_by_group(groups: Int64s, scores: Floats, labels: Floats, depth: int) -> tuple[Int64s, npt.NDArray[np.float64]]:
    """NDCG@depth (Järvelin and Kekäläinen 2002; gain = label, 0 or 1) of each group that has both labels.

    Returns: the groups, int64[g], rising, and their values, float64[g]. Ties are broken by the examples' order.
    """
    order = np.lexsort((np.arange(len(groups)), -scores, groups))
    ordered, positive = groups[order], labels[order] > 0.5  # noqa: PLR2004  labels are 0 or 1
    names, starts, sizes = np.unique(ordered, return_index=True, return_counts=True)
    rank = np.arange(len(order)) - np.repeat(starts, sizes)
    gain = np.where(rank < depth, 1.0 / np.log2(rank + 2.0), 0.0)
    owner = np.repeat(np.arange(len(names)), sizes)
    reached = np.bincount(owner, gain * positive)
    positives = np.bincount(owner, positive).astype(np.int64)
    best = np.concatenate([[0.0], np.cumsum(1.0 / np.log2(np.arange(depth) + 2.0))])[np.minimum(positives, depth)]
    both = (positives > 0) & (positives < sizes)
    return names[both], reached[both] / best[both]
