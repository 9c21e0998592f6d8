"""What an example counts by its age."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


def age_weights(times_us: npt.NDArray[np.int64], now_us: int, half_life_us: int) -> Floats:
    """2^(-age / half-life), float32[n]: an example of an event one half-life ago counts half. The future counts 1.

    >>> age_weights(np.array([0, 60_000_000]), now_us=60_000_000, half_life_us=60_000_000)
    array([0.5, 1. ], dtype=float32)
    """
    ages = np.maximum(now_us - times_us, 0)
    return np.exp2(-ages / half_life_us).astype(np.float32)
