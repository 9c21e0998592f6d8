"""What a model reads: ids, lists of ids, texts, numbers and vectors, each from a source that the caller names.

A source is `user_id`, `item_id`, `item.<attribute>` (an attribute of the candidate) or else a name in the request's
context.
"""

import re
from dataclasses import dataclass
from typing import Final

from martlet.errors import InvalidInput
from martlet.feature_spec import POSITION
from martlet.normalising import MOST_WORDS, NUMBER_WORDS, VECTOR_WORDS, bounds_of, buckets_word, words_word

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_POOLS: Final = ("", "sum", "mean")
MAX_VECTOR: Final = 8192
MAX_MIN_COUNT: Final = 10_000  # counters of occurrences are of fixed size, and forget


def seconds(duration: str) -> int:
    """The seconds of a duration such as 30s, 15m, 2h, 90d, 1w; "" gives 0.

    >>> seconds("30m")
    1800

    Raises:
        InvalidInput: another form.
    """
    if not duration:
        return 0
    match = re.fullmatch(r"(\d+)([smhdw])", duration)
    if match is None:
        raise InvalidInput(f"{duration!r} is no duration: write a whole number and one of s, m, h, d, w, such as 30m")
    return int(match[1]) * _UNITS[match[2]]


@dataclass(frozen=True, slots=True)
class Id:
    """One id. Absent ids are a category of their own.

    Attributes:
        source: where the value comes from.
        space: the key space; inputs that go to the same nn.Embedding share one. Default: the input's own name.
        min_count: how often an id of the space must occur before it gets a row; until then it uses the default row.
        ttl: a row of the space that was unused for so long may be evicted; "" means never.
        max_rows: the space holds so many rows, of each width, at most: the least recently used go; 0 means any number.
    """

    source: str
    space: str = ""
    min_count: int = 1
    ttl: str = ""
    max_rows: int = 0

    def __post_init__(self) -> None:
        _check_id(self.source, self.min_count, self.ttl, self.max_rows)


@dataclass(frozen=True, slots=True)
class IdList:
    """A list of ids; what is longer than `max_len` keeps its first ids.

    With pool "" the model gets the list and beside it `<name>_mask`, float32[B, max_len], 1 where there is an id. With
    "sum" or "mean" nn.Embedding gives one pooled row, and there is no mask. An empty list pools to zeros.
    """

    source: str
    space: str = ""
    max_len: int = 20
    pool: str = ""
    min_count: int = 1
    ttl: str = ""
    max_rows: int = 0

    def __post_init__(self) -> None:
        _check_id(self.source, self.min_count, self.ttl, self.max_rows)
        if self.max_len < 1:
            raise InvalidInput(f"max_len of {self.source!r} must be at least 1, not {self.max_len}")
        if self.pool not in _POOLS:
            raise InvalidInput(f"pool of {self.source!r} must be one of {_POOLS}, not {self.pool!r}")


@dataclass(frozen=True, slots=True)
class Text:
    """A text, as the ids of its words and of runs of words (see `martlet.normalising.text_ids`), pooled.

    Args:
        source: a text of the context, or an attribute of the candidate such as `item.title`.
        max_len: so many ids are read: single words first, then pairs, and so on.
        longest: the longest run of words that has an id of its own.
        pool: "mean" or "sum".
        space, min_count, ttl, max_rows: as for `Id`; a word that occurs once teaches little, so min_count is worth a
            thought.
    """

    source: str
    space: str = ""
    max_len: int = 32
    longest: int = 2
    pool: str = "mean"
    min_count: int = 1
    ttl: str = ""
    max_rows: int = 0

    def __post_init__(self) -> None:
        _check_id(self.source, self.min_count, self.ttl, self.max_rows)
        if self.max_len < 1:
            raise InvalidInput(f"max_len of {self.source!r} must be at least 1, not {self.max_len}")
        if not 1 <= self.longest <= MOST_WORDS:
            raise InvalidInput(f"longest of {self.source!r} must be 1 to {MOST_WORDS}, not {self.longest}")
        if self.pool not in _POOLS[1:]:
            raise InvalidInput(f"pool of {self.source!r} must be one of {_POOLS[1:]}, not {self.pool!r}")

    @property
    def normalise(self) -> str:
        """What the feature spec says of it."""
        return words_word(self.longest)


@dataclass(frozen=True, slots=True)
class Buckets:
    """A number as an id: how many of the bounds it reaches. A missing number is a category of its own.

    For what a weight times a number cannot say. The bounds are fixed: quantiles of a sample, say.

    >>> Buckets("item.price", (1, 10, 100)).normalise
    'buckets:1.0,10.0,100.0'
    """

    source: str
    bounds: tuple[float, ...]
    space: str = ""

    def __post_init__(self) -> None:
        _check_source(self.source)
        try:
            bounds_of(self.normalise)
        except InvalidInput as error:
            raise InvalidInput(f"bounds of {self.source!r} must be rising numbers, not {self.bounds}") from error

    @property
    def normalise(self) -> str:
        """What the feature spec says of it."""
        return buckets_word(tuple(self.bounds))

    @property
    def min_count(self) -> int:
        """Every bucket has a row."""
        return 1

    @property
    def ttl(self) -> str:
        """A bucket stays."""
        return ""

    @property
    def max_rows(self) -> int:
        """As many as there are."""
        return 0


@dataclass(frozen=True, slots=True)
class Number:
    """One number, float32[B, 1] to the model. A missing number reaches the model as 0.

    Attributes:
        normalise: "": as it is. "running": its distance from the mean of what was learned so far, in deviations and cut
            at ±10 (so that 0 is the mean). "log1p": sign(x) · log(1 + abs(x)), for what spans magnitudes.
            "log1p+running": the one, then the other.
    """

    source: str
    normalise: str = ""

    def __post_init__(self) -> None:
        _check_source(self.source)
        if self.normalise not in NUMBER_WORDS:
            raise InvalidInput(f"normalise of {self.source!r} must be one of {NUMBER_WORDS}, not {self.normalise!r}")


@dataclass(frozen=True, slots=True)
class Vector:
    """Numbers of a fixed count, float32[B, width] to the model, such as an encoder's vector of a text or a picture.

    A missing vector, or a component that is NaN, reaches the model as 0. The prediction record holds what was used: 4
    bytes a component for each candidate that was answered.

    Attributes:
        normalise: "", or "running" as for `Number`, each component by itself.
    """

    source: str
    width: int
    normalise: str = ""

    def __post_init__(self) -> None:
        _check_source(self.source)
        if not 1 <= self.width <= MAX_VECTOR:
            raise InvalidInput(f"width of {self.source!r} must be 1 to {MAX_VECTOR}, not {self.width}")
        if self.normalise not in VECTOR_WORDS:
            raise InvalidInput(f"normalise of {self.source!r} must be one of {VECTOR_WORDS}, not {self.normalise!r}")


@dataclass(frozen=True, slots=True)
class Position:
    """The place at which an item was shown, from 0, as an id: what places do to clicks is learned apart from the items.

    In learning it is the item's place in the prediction record; places from 99 on are one. In serving it is 0 for every
    candidate: items are ranked as if each stood first, and the scores are those of the first place.
    """

    space: str = ""

    @property
    def source(self) -> str:
        """No caller names it."""
        return POSITION

    @property
    def min_count(self) -> int:
        """Every place has a row."""
        return 1

    @property
    def ttl(self) -> str:
        """A place stays."""
        return ""

    @property
    def max_rows(self) -> int:
        """As many as there are."""
        return 0


IdInput = Id | IdList | Text | Buckets | Position
NumberInput = Number | Vector
Input = IdInput | NumberInput


def _check_id(source: str, min_count: int, ttl: str, max_rows: int) -> None:
    _check_source(source)
    seconds(ttl)
    if not 1 <= min_count <= MAX_MIN_COUNT:
        raise InvalidInput(f"min_count of {source!r} must be 1 to {MAX_MIN_COUNT}, not {min_count}")
    if max_rows < 0:
        raise InvalidInput(f"max_rows of {source!r} must be at least 1, or 0 for any number, not {max_rows}")


def _check_source(source: str) -> None:
    if not source or source == "item.":
        raise InvalidInput("an input needs a source, such as user_id, item_id, item.price or hour")
