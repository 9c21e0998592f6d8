"""The feature spec: which values a version reads, from where, and how they are laid out.

The layout is what travels: serving encodes a request into a `FeatureBlock`, scores it, and writes the same block into
the prediction record; the trainer learns exactly those values. For each side (user or item) the ids stand in one int64
matrix and the numbers in one float32 matrix, features in the spec's order:

* an `ID` takes one column;
* an `ID_LIST` takes `1 + max_len` columns: the count of ids, then the ids, then zeros;
* a `NUMBER` takes one column of the numbers, a `VECTOR` as many as it has components; NaN means missing.
"""

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from martlet.errors import InvalidInput
from martlet.keys import text_id
from martlet.normalising import NUMBER_WORDS, VECTOR_WORDS, bounds_of, longest_run

SPEC_FORMAT: Final = 1
# The source of a place in the answer: the record's when it is learned (up to the last one that is told apart), the
# first one for every candidate when it is served.
POSITION: Final = "item.@position"
LAST_POSITION: Final = 99
GOLDEN_TEXTS: Final = ("", "a", "user-1", "Żółw", "日本", "x" * 300)


class FeatureKind(StrEnum):
    """What kind of value a feature is."""

    ID = "id"
    ID_LIST = "id_list"
    NUMBER = "number"
    VECTOR = "vector"


class Side(StrEnum):
    """Whether a value belongs to the request (user and context) or to each candidate."""

    USER = "user"
    ITEM = "item"


@dataclass(frozen=True, slots=True)
class Feature:
    """One input of the model.

    Attributes:
        name: the model's parameter.
        source: the caller's name: `user_id`, `item_id`, `item.<attribute>` for the item side, else context.
        side: user or item.
        space: the key space of an id; its salt stands in the spec.
        width: columns of the embedding rows; 0 for what has none.
        max_len: the longest list that is read, or the components of a vector; else 1. Longer lists keep their first
            ids.
        pool: "" (rows and a mask reach the model), or "sum" or "mean" (the pooled row does).
        min_count: how often an id must occur before it gets a row.
        ttl_seconds: a row unused for so long may be evicted; 0 means never.
        normalise: how a caller's value becomes the feature's: see `martlet.normalising`.
    """

    name: str
    source: str
    kind: FeatureKind
    side: Side
    space: str = ""
    width: int = 0
    max_len: int = 1
    pool: str = ""
    min_count: int = 1
    ttl_seconds: int = 0
    normalise: str = ""

    @property
    def is_id(self) -> bool:
        """Whether it holds ids, one or a list; else numbers."""
        return self.kind in (FeatureKind.ID, FeatureKind.ID_LIST)

    @property
    def id_columns(self) -> int:
        """Columns taken in the id matrix."""
        return {FeatureKind.ID: 1, FeatureKind.ID_LIST: 1 + self.max_len}.get(self.kind, 0)

    @property
    def number_columns(self) -> int:
        """Columns taken in the number matrix."""
        return 0 if self.is_id else self.max_len


@dataclass(frozen=True)
class FeatureSpec:
    """All features of a version, the salt of each key space, and hash vectors that an encoder must reproduce."""

    features: tuple[Feature, ...]
    salts: dict[str, int]
    golden: tuple[tuple[str, int], ...] = tuple((text, text_id(text)) for text in GOLDEN_TEXTS)
    format: int = SPEC_FORMAT

    @cached_property
    def layout(self) -> "FeatureLayout":
        """Where each feature stands in a block."""
        return FeatureLayout.of(self)

    def side(self, side: Side) -> tuple[Feature, ...]:
        """The features of one side, in order."""
        return tuple(feature for feature in self.features if feature.side is side)


@dataclass(frozen=True, slots=True)
class FeatureLayout:
    """Column counts of a block and the first column of each feature in its side's id or number matrix.

    `position_columns`: of the item side's ids, those that hold the place at which an item was shown (see `POSITION`).
    """

    user_id_columns: int
    user_number_columns: int
    item_id_columns: int
    item_number_columns: int
    first_column: dict[str, int]
    position_columns: tuple[int, ...] = ()

    @classmethod
    def of(cls, spec: FeatureSpec) -> "FeatureLayout":
        """Lays a spec out."""
        first: dict[str, int] = {}
        counts = {(side, kind): 0 for side in Side for kind in ("ids", "numbers")}
        for feature in spec.features:
            kind = "ids" if feature.is_id else "numbers"
            first[feature.name] = counts[feature.side, kind]
            counts[feature.side, kind] += feature.id_columns + feature.number_columns
        return cls(
            user_id_columns=counts[Side.USER, "ids"],
            user_number_columns=counts[Side.USER, "numbers"],
            item_id_columns=counts[Side.ITEM, "ids"],
            item_number_columns=counts[Side.ITEM, "numbers"],
            first_column=first,
            position_columns=tuple(first[one.name] for one in spec.features if one.source == POSITION),
        )


@dataclass(frozen=True, slots=True)
class FeatureBlock:
    """Feature values of r requests and their n candidates.

    Attributes:
        user_ids: int64[r, user_id_columns].
        user_numbers: float32[r, user_number_columns].
        item_ids: int64[n, item_id_columns].
        item_numbers: float32[n, item_number_columns].
        row_of_user: int64[n], the user row of each item row.
    """

    user_ids: npt.NDArray[np.int64]
    user_numbers: npt.NDArray[np.float32]
    item_ids: npt.NDArray[np.int64]
    item_numbers: npt.NDArray[np.float32]
    row_of_user: npt.NDArray[np.int64]

    @property
    def rows(self) -> int:
        """Number of item rows, n."""
        return int(self.row_of_user.shape[0])


def check_features(spec: FeatureSpec) -> None:
    """What must hold of features that came from elsewhere: with two of a name, or an unknown word, nothing is laid out.

    Raises:
        InvalidInput: names the feature.
    """
    names = [feature.name for feature in spec.features]
    for feature in spec.features:
        if names.count(feature.name) > 1:
            raise InvalidInput(f"two features are called {feature.name!r}")
        if feature.max_len < 1:
            raise InvalidInput(f"feature {feature.name!r}: max_len must be at least 1, not {feature.max_len}")
        if feature.is_id and feature.width and feature.space not in spec.salts:
            raise InvalidInput(f"feature {feature.name!r}: the space {feature.space!r} has no salt")
        _check_normalise(feature)


def _check_normalise(feature: Feature) -> None:
    if feature.is_id and feature.normalise:
        (bounds_of if feature.kind is FeatureKind.ID else longest_run)(feature.normalise)
    known = {FeatureKind.NUMBER: NUMBER_WORDS, FeatureKind.VECTOR: VECTOR_WORDS}.get(feature.kind)
    if known is not None and feature.normalise not in known:
        raise InvalidInput(f"feature {feature.name!r}: normalise {feature.normalise!r} is none of {known}")
