"""The embedding table's layout: what trainer, exporter, ONNX graph and serving agree on.

A table has `n` logical buckets of four slots. A slot holds an int64 key and a row. A key belongs to one of two buckets,
which always differ. A version is an int32 *directory* from logical to physical buckets; a full export has the identity.

Format 1 of the hash, on the key as uint64, arithmetic modulo 2**64:

    h = key * C1;  h ^= h >> 32;  h *= C2;  h ^= h >> 29;  h *= C3
    first  = ((h >> 32) * n) >> 32
    second = ((h & 0xffffffff) * (n - 1)) >> 32;  second += second >= first

C1 and C2 are the multipliers of SplitMix64's finaliser (Steele, Lea, Flood 2014), C3 is 2**64 over the golden ratio.
The reduction `(h32 * n) >> 32` is Lemire's fast range (2019), so n need not be a power of two.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

LAYOUT_FORMAT: Final = 1
SLOTS: Final = 4
MIN_BUCKETS: Final = 4
MAX_BUCKETS: Final = (1 << 31) - 1

C1: Final = 0xBF58476D1CE4E5B9
C2: Final = 0x94D049BB133111EB
C3: Final = 0x9E3779B97F4A7C15
SHIFT1: Final = 32
SHIFT2: Final = 29

Keys = npt.NDArray[np.int64]
Rows = npt.NDArray[np.float32]
Directory = npt.NDArray[np.int32]


def buckets_of(keys: Keys, n: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Both logical buckets of each key: int64 arrays of the keys' shape. The reference for all implementations."""
    with np.errstate(over="ignore"):
        h = keys.view(np.uint64) * np.uint64(C1)
        h ^= h >> np.uint64(SHIFT1)
        h *= np.uint64(C2)
        h ^= h >> np.uint64(SHIFT2)
        h *= np.uint64(C3)
        first = ((h >> np.uint64(32)) * np.uint64(n)) >> np.uint64(32)
        second = ((h & np.uint64(0xFFFFFFFF)) * np.uint64(n - 1)) >> np.uint64(32)
    second += (second >= first).astype(np.uint64)
    return first.astype(np.int64), second.astype(np.int64)


def empty_keys(n: int) -> Keys:
    """For each logical bucket a key that cannot hash to it: int64[n]. It marks the bucket's empty slots.

    All 2**64 keys stay usable, since a lookup never compares a key with a bucket that is not one of its own.
    """
    if not MIN_BUCKETS <= n <= MAX_BUCKETS:
        raise ValueError(f"a table has {MIN_BUCKETS} to {MAX_BUCKETS} buckets, not {n}")
    marks = np.zeros(n, np.int64)
    open_buckets = np.arange(n)
    candidate = 0
    while open_buckets.size:
        first, second = buckets_of(np.array([candidate], np.int64), n)
        fits = (open_buckets != first[0]) & (open_buckets != second[0])
        marks[open_buckets[fits]] = candidate
        open_buckets = open_buckets[~fits]
        candidate += 1
    return marks
