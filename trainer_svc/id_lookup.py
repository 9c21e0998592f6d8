"""From a block's ids to rows of one embedding table: all its features at once, without a loop over examples."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from martlet.feature_spec import Feature, FeatureBlock, FeatureKind, FeatureSpec, Side
from martlet.learn import ModelTable

Int64s = npt.NDArray[np.int64]
NO_ROW: Final = -1


@dataclass(frozen=True, slots=True)
class Ids:
    """The ids of a block that belong to one table, user side first, padding left out.

    Attributes:
        keys: int64[K], salted.
        spaces: uint16[K], numbers of the key spaces.
        specials: int64[K], the special that is each id's default row.
        places: int64[K], where they stand among all id places of the block, or None if there is no padding.
        size: number of id places.
    """

    keys: Int64s
    spaces: npt.NDArray[np.uint16]
    specials: Int64s
    places: Int64s | None
    size: int

    def placed(self, values: Int64s, padding: int) -> Int64s:
        """Values of the ids at their places, `padding` elsewhere: int64[size]."""
        if self.places is None:
            return values
        everywhere = np.full(self.size, padding, np.int64)
        everywhere[self.places] = values
        return everywhere


class SideLookup:
    """The id columns that one table takes from one side's matrix."""

    def __init__(self, spec: FeatureSpec, table: ModelTable, side: Side, space_numbers: dict[str, int]) -> None:
        by_name = {feature.name: feature for feature in spec.features}
        self.features = [by_name[name] for name in table.features if by_name[name].side is side]
        self.slices: dict[str, slice] = {}
        columns: list[int] = []
        for feature in self.features:
            first = spec.layout.first_column[feature.name] + (feature.kind is FeatureKind.ID_LIST)
            self.slices[feature.name] = slice(len(columns), len(columns) + feature.max_len)
            columns += range(first, first + feature.max_len)
        widths = [feature.max_len for feature in self.features]
        specials = [1 + table.features.index(feature.name) for feature in self.features]
        self.columns = np.array(columns, np.int64)
        self.salts = np.repeat(np.array([spec.salts[f.space] for f in self.features], np.int64), widths)
        self.spaces = np.repeat(np.array([space_numbers[f.space] for f in self.features], np.uint16), widths)
        self.specials = np.repeat(np.array(specials, np.int64), widths)
        self.lists = [
            (spec.layout.first_column[feature.name], self.slices[feature.name])
            for feature in self.features
            if feature.kind is FeatureKind.ID_LIST
        ]

    def present(self, ids: Int64s) -> npt.NDArray[np.bool_]:
        """Where there is an id and not padding: bool[rows, columns]."""
        mask = np.ones((ids.shape[0], self.columns.shape[0]), np.bool_)
        for count, places in self.lists:
            mask[:, places] = np.arange(places.stop - places.start) < ids[:, count : count + 1]
        return mask


class TableLookup:
    """The lookup of one table. Immutable."""

    def __init__(self, spec: FeatureSpec, table: ModelTable, space_numbers: dict[str, int]) -> None:
        by_name = {feature.name: feature for feature in spec.features}
        self.features: tuple[Feature, ...] = tuple(by_name[name] for name in table.features)
        self._user = SideLookup(spec, table, Side.USER, space_numbers)
        self._item = SideLookup(spec, table, Side.ITEM, space_numbers)
        self._has_lists = bool(self._user.lists or self._item.lists)

    def ids(self, block: FeatureBlock) -> Ids:
        """The block's ids for this table, each user row once."""
        sides = ((self._user, block.user_ids), (self._item, block.item_ids))
        keys = np.concatenate([(ids[:, side.columns] + side.salts).reshape(-1) for side, ids in sides])
        spaces = np.concatenate([np.tile(side.spaces, ids.shape[0]) for side, ids in sides])
        specials = np.concatenate([np.tile(side.specials, ids.shape[0]) for side, ids in sides])
        size = keys.shape[0]
        if not self._has_lists:
            return Ids(keys, spaces, specials, None, size)
        places = np.flatnonzero(np.concatenate([side.present(ids).reshape(-1) for side, ids in sides]))
        return Ids(keys[places], spaces[places], specials[places], places, size)

    def spread(self, values: Int64s, block: FeatureBlock) -> Int64s:
        """Values at all id places, repeated for the item rows of each user row.

        Returns int64[N]: feature by feature in the table's order, within a feature [n, max_len] by rows.
        """
        r, n = block.user_ids.shape[0], block.rows
        cut = r * self._user.columns.shape[0]
        user = values[:cut].reshape(r, self._user.columns.shape[0])
        item = values[cut:].reshape(n, self._item.columns.shape[0])
        user = user[block.row_of_user]
        pieces = []
        for feature in self.features:
            side, matrix = (self._user, user) if feature.side is Side.USER else (self._item, item)
            pieces.append(matrix[:, side.slices[feature.name]].reshape(-1))
        return np.concatenate(pieces)
