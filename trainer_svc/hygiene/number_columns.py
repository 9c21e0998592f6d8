"""The numbers of a batch: which column is whose. Components of vectors are left out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from martlet.feature_spec import FeatureBlock, FeatureKind, FeatureSpec, Side

Floats = npt.NDArray[np.float32]
Columns = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class NumberColumns:
    """The features that are numbers, those of the user's side first, each side in the order of its columns.

    Attributes:
        names: of the features.
        users, items: int64[k], their columns in the matrix of their side.
    """

    names: tuple[str, ...]
    users: Columns
    items: Columns

    @classmethod
    def of(cls, spec: FeatureSpec) -> "NumberColumns":
        """Those of a spec."""
        user, item = (_numbers_of(spec, side) for side in (Side.USER, Side.ITEM))
        first = spec.layout.first_column
        columns = [np.array([first[name] for name in names], np.int64) for names in (user, item)]
        return cls((*user, *item), *columns)

    @property
    def user_count(self) -> int:
        """How many are of the user's side."""
        return int(self.users.shape[0])

    def sides(self, block: FeatureBlock) -> tuple[tuple[slice, Floats], ...]:
        """For each side that has numbers, its place among `names` and its values, float32[rows, k]."""
        n = self.user_count
        pairs = (
            (slice(0, n), block.user_numbers, self.users),
            (slice(n, len(self.names)), block.item_numbers, self.items),
        )
        return tuple((place, _taken(numbers, columns)) for place, numbers, columns in pairs if columns.shape[0])

    def by_row(self, block: FeatureBlock, name: str) -> Floats:
        """One feature's value of each item row, float32[n]."""
        place = self.names.index(name)
        if place < self.user_count:
            return np.asarray(block.user_numbers[block.row_of_user, self.users[place]], np.float32)
        return np.asarray(block.item_numbers[:, self.items[place - self.user_count]], np.float32)

    def replaced(self, block: FeatureBlock, values: Sequence[Floats]) -> FeatureBlock:
        """The block with other numbers, as `sides` gives them."""
        given = iter(values)
        user = _put(block.user_numbers, self.users, given)
        return replace(block, user_numbers=user, item_numbers=_put(block.item_numbers, self.items, given))


def _taken(numbers: Floats, columns: Columns) -> Floats:
    return numbers if columns.shape[0] == numbers.shape[1] else numbers[:, columns]


def _put(numbers: Floats, columns: Columns, given: Iterator[Floats]) -> Floats:
    if not columns.shape[0]:
        return numbers
    values = next(given)
    if columns.shape[0] == numbers.shape[1]:
        return values
    changed = numbers.copy()
    changed[:, columns] = values
    return changed


def _numbers_of(spec: FeatureSpec, side: Side) -> list[str]:
    return [feature.name for feature in spec.side(side) if feature.kind is FeatureKind.NUMBER]
