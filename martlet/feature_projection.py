"""Feature values laid out by one spec, read by another: as when a model's features have changed, and its log has not.

A feature is the same in both if it has the same name, source, kind, side and length; its values go over as they are.
One that the older layout does not have is absent in every row, as if no caller had ever sent it; one that the newer
spec does not have is dropped. Widths of rows, salts and spaces do not matter: a block holds ids, not keys.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from martlet.feature_spec import Feature, FeatureBlock, FeatureKind, FeatureSpec, Side
from martlet.keys import MISSING_ID

Ids = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.float32]

_ABSENT: Final = -1


@dataclass(frozen=True, slots=True)
class SideProjection:
    """One side's columns.

    Attributes:
        ids, numbers: for each column of the wanted layout the column that it comes from, -1 where it is absent.
        id_columns, number_columns: how many columns the given layout has.
        missing: int64[wanted id columns], what absent ids read as.
    """

    ids: npt.NDArray[np.int64]
    numbers: npt.NDArray[np.int64]
    id_columns: int
    number_columns: int
    missing: Ids

    def of_ids(self, given: Ids) -> Ids:
        """int64[rows, given columns] → int64[rows, wanted columns]."""
        wanted = np.broadcast_to(self.missing, (given.shape[0], self.ids.shape[0])).copy()
        known = self.ids != _ABSENT
        wanted[:, known] = given[:, self.ids[known]]
        return wanted

    def of_numbers(self, given: Numbers) -> Numbers:
        """float32[rows, given columns] → float32[rows, wanted columns]; NaN where absent."""
        wanted = np.full((given.shape[0], self.numbers.shape[0]), np.nan, np.float32)
        known = self.numbers != _ABSENT
        wanted[:, known] = given[:, self.numbers[known]]
        return wanted


@dataclass(frozen=True, slots=True)
class Projection:
    """From one spec's layout to another's. Immutable."""

    user: SideProjection
    item: SideProjection

    @classmethod
    def between(cls, given: FeatureSpec, wanted: FeatureSpec) -> "Projection":
        """How what `given` laid out is read by `wanted`."""
        return cls(_side(given, wanted, Side.USER), _side(given, wanted, Side.ITEM))

    def of_block(self, block: FeatureBlock) -> FeatureBlock:
        """The block, laid out anew. Cost: a copy of it."""
        return FeatureBlock(
            self.user.of_ids(block.user_ids),
            self.user.of_numbers(block.user_numbers),
            self.item.of_ids(block.item_ids),
            self.item.of_numbers(block.item_numbers),
            block.row_of_user,
        )


def absent(given: FeatureSpec, wanted: FeatureSpec) -> tuple[str, ...]:
    """The features of `wanted` that nothing in `given` is."""
    return tuple(feature.name for feature in wanted.features if _same(given, feature) is None)


def _side(given: FeatureSpec, wanted: FeatureSpec, side: Side) -> SideProjection:
    ids: list[int] = []
    numbers: list[int] = []
    missing: list[int] = []
    for feature in wanted.side(side):
        count = feature.id_columns + feature.number_columns
        found = _same(given, feature)
        first = _ABSENT if found is None else given.layout.first_column[found.name]
        columns = [_ABSENT] * count if found is None else list(range(first, first + count))
        if feature.is_id:
            ids += columns
            missing += [MISSING_ID if feature.kind is FeatureKind.ID else 0] * count
        else:
            numbers += columns
    return SideProjection(
        np.array(ids, np.int64),
        np.array(numbers, np.int64),
        sum(feature.id_columns for feature in given.side(side)),
        sum(feature.number_columns for feature in given.side(side)),
        np.array(missing, np.int64),
    )


def _same(given: FeatureSpec, wanted: Feature) -> Feature | None:
    def form(feature: Feature) -> tuple[object, ...]:
        return feature.name, feature.source, feature.kind, feature.side, feature.max_len

    return next((feature for feature in given.features if form(feature) == form(wanted)), None)
