"""Id masking: now and then an id is learned as an unknown one, so that default rows know what such ids have in common.

What is scored for an id that nobody knows yet is its feature's default row. Without masking that row learns only from
the first occurrence of each id; with it, from a share p of all occurrences (as DropoutNet does for whole inputs:
M. Volkovs et al., NeurIPS 2017).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from martlet.errors import InvalidInput
from martlet.feature_spec import FeatureBlock, FeatureKind, FeatureSpec, Side
from martlet.keys import UNKNOWN_ID
from trainer_svc.replaying.draws import uniforms

Arrays = dict[str, npt.NDArray[np.generic]]


@dataclass(frozen=True, slots=True)
class _Column:
    """Id columns of one feature: the first, how many, the column with the list's length or -1, the chance."""

    side: Side
    first: int
    width: int
    length: int
    chance: float


class IdMasking:
    """See the module's docstring. Not thread-safe.

    Args:
        chances: by the feature's name, p.

    Raises:
        InvalidInput: there is no such feature, or it has no ids.
    """

    def __init__(self, spec: FeatureSpec, chances: Mapping[str, float], seed: int) -> None:
        self._columns = [_column(spec, name, chance) for name, chance in sorted(chances.items())]
        self._seed = seed
        self._drawn = 0

    def mask(self, block: FeatureBlock) -> FeatureBlock:
        """The block with some ids unknown; the same one if none is."""
        masked = {side: self._masked(block, side) for side in Side}
        ids = {side: values for side, values in masked.items() if values is not None}
        if not ids:
            return block
        return replace(
            block,
            user_ids=ids.get(Side.USER, block.user_ids),
            item_ids=ids.get(Side.ITEM, block.item_ids),
        )

    def state(self) -> Arrays:
        """How many numbers were drawn."""
        return {"drawn": np.array(self._drawn, np.int64)}

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Takes a state over."""
        self._drawn = int(np.asarray(state["drawn"], np.int64))

    def _masked(self, block: FeatureBlock, side: Side) -> npt.NDArray[np.int64] | None:
        ids = block.user_ids if side is Side.USER else block.item_ids
        changed: npt.NDArray[np.int64] | None = None
        for column in self._columns:
            if column.side is not side:
                continue
            hit = self._draw(ids.shape[0], column)
            if column.length >= 0:
                hit &= np.arange(column.width) < ids[:, column.length : column.length + 1]
            if hit.any():
                changed = ids.copy() if changed is None else changed
                changed[:, column.first : column.first + column.width][hit] = UNKNOWN_ID
        return changed

    def _draw(self, rows: int, column: _Column) -> npt.NDArray[np.bool_]:
        count = rows * column.width
        drawn = uniforms(self._seed, self._drawn, count) < column.chance
        self._drawn += count
        return drawn.reshape(rows, column.width)


def _column(spec: FeatureSpec, name: str, chance: float) -> _Column:
    feature = next((one for one in spec.features if one.name == name), None)
    if feature is None or not (feature.is_id and feature.width):
        raise InvalidInput(
            f"bad setting: learning.augmentation.mask_ids names {name!r}, which is no input whose ids have rows"
        )
    first = spec.layout.first_column[name]
    if feature.kind is FeatureKind.ID_LIST:
        return _Column(feature.side, first + 1, feature.max_len, first, chance)
    return _Column(feature.side, first, 1, -1, chance)
