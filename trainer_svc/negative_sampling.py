"""Which negatives are learned when only a share of them is: the same ones in every process and after every restart."""

from typing import Final

import numpy as np
import numpy.typing as npt

# SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): its step and its finalizer.
_STEP: Final = np.uint64(0x9E3779B97F4A7C15)
_FIRST: Final = np.uint64(0xBF58476D1CE4E5B9)
_SECOND: Final = np.uint64(0x94D049BB133111EB)
_MASK: Final = (1 << 64) - 1


def kept(prediction: int, rows: npt.NDArray[np.int64], share: float) -> npt.NDArray[np.bool_]:
    """Whether the negative at each of the rows is learned: bool[k]. About `share` of them are.

    Args:
        prediction: the hash of the prediction's id, 64 bits.
        rows: int64[k], places of items in the prediction.
        share: above 0, at most 1.
    """
    mixed = np.uint64(prediction & _MASK) + (rows.astype(np.uint64) + np.uint64(1)) * _STEP
    mixed = (mixed ^ (mixed >> np.uint64(30))) * _FIRST
    mixed = (mixed ^ (mixed >> np.uint64(27))) * _SECOND
    mixed ^= mixed >> np.uint64(31)
    return np.asarray((mixed >> np.uint64(11)) * 2.0**-53 < share)
