"""How a caller's value becomes what a feature holds: the words of a spec's `normalise`, and what they mean. Pure.

| kind | normalise | meaning |
|---|---|---|
| number | `running` | distance from the running mean, in deviations; inside the graph |
| number | `log1p` | sign(x) · log(1 + abs(x)); inside the graph |
| number | `log1p+running` | the second, then the first |
| vector | `running` | as for a number, each component by itself |
| id | `buckets:1.0,5.0` | a number becomes the count of bounds that it reaches; at the edge |
| id_list | `words:2` | a text becomes the ids of its runs of up to two words; at the edge |

What happens at the edge is what is recorded and learned; what happens inside the graph serves as it was learned.
"""

import re
import unicodedata
from functools import lru_cache
from itertools import pairwise
from math import isfinite
from typing import Final

import numpy as np
import numpy.typing as npt

from martlet.errors import InvalidInput
from martlet.keys import text_id

RUNNING: Final = "running"
LOG: Final = "log1p"
NUMBER_WORDS: Final = ("", RUNNING, LOG, f"{LOG}+{RUNNING}")
VECTOR_WORDS: Final = ("", RUNNING)
MOST_WORDS: Final = 4
_BUCKETS: Final = "buckets:"
_WORDS: Final = "words:"
_WORD: Final = re.compile(r"\w+")


def words_of(text: str) -> list[str]:
    """The normalised words of a text: NFKC, casefold, NFKC again (Unicode's toNFKC_Casefold but for ignorables).

    >>> words_of("Große-STRASSE, ﬁne")
    ['grosse', 'strasse', 'fine']
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return _WORD.findall(folded)


def text_ids(text: str, longest: int) -> list[int]:
    """The ids of a text: XXH3-64 (see `martlet.keys.text_id`) of its words, then of each two words in a row, and so on.

    The words of a run are joined by one space. What occurs twice is there twice.

    >>> text_ids("Red, red wine", 2) == [text_id(run) for run in ("red", "red", "wine", "red red", "red wine")]
    True
    """
    words = words_of(text)
    runs = (
        " ".join(words[start : start + length])
        for length in range(1, longest + 1)
        for start in range(len(words) - length + 1)
    )
    return [text_id(run) for run in runs]


def words_word(longest: int) -> str:
    """The word for texts whose runs of up to so many words become ids."""
    return f"{_WORDS}{longest}"


@lru_cache(maxsize=1024)
def longest_run(normalise: str) -> int:
    """The longest run of words of a list's `normalise`.

    Raises:
        InvalidInput: not such a word.
    """
    count = normalise.removeprefix(_WORDS)
    if count == normalise or not count.isascii() or not count.isdecimal() or not 1 <= int(count) <= MOST_WORDS:
        raise InvalidInput(f"normalise {normalise!r} of a list of ids is not known (known: {_WORDS}1 to {MOST_WORDS})")
    return int(count)


def buckets_word(bounds: tuple[float, ...]) -> str:
    """The word for numbers that become the count of bounds that they reach."""
    return _BUCKETS + ",".join(repr(float(bound)) for bound in bounds)


@lru_cache(maxsize=1024)
def bounds_of(normalise: str) -> npt.NDArray[np.float64]:
    """The bounds of an id's `normalise`, ascending.

    Raises:
        InvalidInput: not such a word.
    """
    try:
        bounds = [float(bound) for bound in normalise.removeprefix(_BUCKETS).split(",")]
    except ValueError:
        bounds = []
    rising = all(low < high for low, high in pairwise(bounds))
    if not normalise.startswith(_BUCKETS) or not bounds or not rising or not all(map(isfinite, bounds)):
        raise InvalidInput(f"normalise {normalise!r} of an id is not known (known: {_BUCKETS} and rising bounds)")
    return np.array(bounds)


def signed_log(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """sign(x) · log(1 + abs(x)), in the float32 steps of the graph."""
    return np.asarray(np.sign(values) * np.log(np.float32(1) + np.abs(values)), np.float32)
