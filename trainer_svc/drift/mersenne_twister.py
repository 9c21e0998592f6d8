"""Python's `random.Random.sample` in a compiled loop: the same numbers for the same seed.

MT19937 (M. Matsumoto, T. Nishimura, ACM TOMACS 8, 1998); how Python draws from it below a bound and without repetition
is part of its reproducibility (`random` in the standard library).
"""

import random
from math import ceil, log
from typing import Final

import numpy as np
import numpy.typing as npt

from trainer_svc.table.compiling import kernel

Words = npt.NDArray[np.uint32]
_WORDS: Final = 624
_SHIFT: Final = 397


def seeded(seed: int) -> Words:
    """The generator's memory after seeding: uint32[625], the last being the place of the next word."""
    return np.array(random.Random(seed).getstate()[1], np.uint32)  # noqa: S311  reproducible, no secret


def pool_limit(count: int) -> int:
    """Up to so many things Python draws `count` of them from a pool; of more it draws again what it had already."""
    return 21 + (4 ** ceil(log(count * 3, 4)) if count > 5 else 0)  # noqa: PLR2004  as Python has it


@kernel
def next_word(words: Words) -> int:
    """The next 32 bits."""
    if words[_WORDS] >= _WORDS:
        for i in range(_WORDS):
            y = (words[i] & np.uint32(0x80000000)) | (words[(i + 1) % _WORDS] & np.uint32(0x7FFFFFFF))
            odd = np.uint32(0x9908B0DF) if y & np.uint32(1) else np.uint32(0)
            words[i] = words[(i + _SHIFT) % _WORDS] ^ (y >> np.uint32(1)) ^ odd
        words[_WORDS] = 0
    y = words[words[_WORDS]]
    words[_WORDS] += np.uint32(1)
    y ^= y >> np.uint32(11)
    y ^= (y << np.uint32(7)) & np.uint32(0x9D2C5680)
    y ^= (y << np.uint32(15)) & np.uint32(0xEFC60000)
    return int(y ^ (y >> np.uint32(18)))


@kernel
def below(words: Words, bound: int) -> int:
    """A whole number from 0 up to a bound (at least 1, below 2^32)."""
    bits = 0
    while bound >> bits:
        bits += 1
    drawn = next_word(words) >> (32 - bits)
    while drawn >= bound:
        drawn = next_word(words) >> (32 - bits)
    return int(drawn)


@kernel
def sample(words: Words, things: int, pool: npt.NDArray[np.int64], limit: int, chosen: npt.NDArray[np.int64]) -> None:
    """Draws different numbers below `things` into `chosen`.

    `pool`: int64[things], to work in; `limit`: of `pool_limit`.
    """
    if things <= limit:
        for i in range(things):
            pool[i] = i
        for i in range(chosen.shape[0]):
            j = below(words, things - i)
            chosen[i] = pool[j]
            pool[j] = pool[things - i - 1]
        return
    pool[:things] = 0
    for i in range(chosen.shape[0]):
        j = below(words, things)
        while pool[j]:
            j = below(words, things)
        pool[j] = 1
        chosen[i] = j
