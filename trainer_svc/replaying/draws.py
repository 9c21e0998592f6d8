"""Random numbers by their place in a sequence: a function of seed and place, so that nothing needs to be remembered.

SplitMix64 (G. Steele, D. Lea, C. Flood, Fast splittable pseudorandom number generators, OOPSLA 2014).
"""

from typing import Final

import numpy as np
import numpy.typing as npt

_GAMMA: Final = np.uint64(0x9E3779B97F4A7C15)
_FIRST: Final = np.uint64(0xBF58476D1CE4E5B9)
_SECOND: Final = np.uint64(0x94D049BB133111EB)
_53_BITS: Final = 2.0**-53


def mixed(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Scatters 64-bit values; one-to-one."""
    z = (values ^ (values >> np.uint64(30))) * _FIRST
    z = (z ^ (z >> np.uint64(27))) * _SECOND
    return z ^ (z >> np.uint64(31))


def uniforms(seed: int, first: int, count: int) -> npt.NDArray[np.float64]:
    """The numbers at places `first`, `first` + 1, ... of a seed's sequence: float64[count] in [0, 1)."""
    places = np.arange(first + 1, first + count + 1, dtype=np.uint64)
    start = mixed(np.full(1, seed % (1 << 64), np.uint64))
    return np.asarray((mixed(start + places * _GAMMA) >> np.uint64(11)) * _53_BITS, np.float64)
