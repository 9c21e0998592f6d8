"""The table rows of items as one version sees them: what its graph would gather, read with NumPy. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from martlet.feature_encoding import list_mask
from martlet.feature_spec import Feature, FeatureKind, FeatureSpec, Side
from martlet.table_layout import SLOTS, buckets_of

Floats = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class TableArrays:
    """One table as one version sees it.

    Attributes:
        keys: int64[P, 4]; rows: float32 or float16[P * 4, width]: all physical buckets.
        directory: int32[n], logical to physical bucket.
        special: int64[s], row numbers of the zero row, then of each id feature's default row.
    """

    keys: npt.NDArray[np.int64]
    rows: npt.NDArray[np.generic]
    directory: npt.NDArray[np.int32]
    special: npt.NDArray[np.int64]


def item_rows(spec: FeatureSpec, tables: Mapping[int, TableArrays], item_ids: Ids) -> Floats:
    """The rows of all item-side id features side by side, float32[n, sum of widths]; a list's mean row.

    Args:
        spec: of the version.
        tables: by width: a version has one table for each width.
        item_ids: int64[n, item_id_columns], laid out by the spec.
    """
    parts = [
        _feature_rows(spec, feature, tables[feature.width], item_ids)
        for feature in spec.side(Side.ITEM)
        if feature.is_id and feature.width
    ]
    return np.concatenate(parts, axis=1) if parts else np.zeros((item_ids.shape[0], 0), np.float32)


def row_numbers(table: TableArrays, keys: Ids, default: int) -> Ids:
    """The row of each key, int64[n]; `default` for a key that has none."""
    found = np.full(keys.shape, default, np.int64)
    for logical in buckets_of(keys, table.directory.shape[0]):
        physical = table.directory[logical].astype(np.int64)
        place, slot = np.nonzero(table.keys[physical] == keys[:, None])
        found[place] = physical[place] * SLOTS + slot
    return found


def _feature_rows(spec: FeatureSpec, feature: Feature, table: TableArrays, item_ids: Ids) -> Floats:
    column = spec.layout.first_column[feature.name]
    default = int(table.special[1 + _peers(spec, feature.width).index(feature.name)])
    if feature.kind is FeatureKind.ID:
        return _rows(spec, feature, table, item_ids[:, column], default)
    ids = item_ids[:, column + 1 : column + 1 + feature.max_len]
    flat = _rows(spec, feature, table, ids.reshape(-1), default)
    rows = flat.reshape(*ids.shape, feature.width)
    mask = list_mask(item_ids[:, column], feature.max_len)
    return np.asarray((rows * mask[:, :, None]).sum(axis=1) / np.maximum(mask.sum(axis=1), 1)[:, None], np.float32)


def _rows(spec: FeatureSpec, feature: Feature, table: TableArrays, ids: Ids, default: int) -> Floats:
    keys = ids + np.int64(spec.salts[feature.space])  # int64 wraps around, as keys do
    return np.asarray(table.rows[row_numbers(table, keys, default)], np.float32)


def _peers(spec: FeatureSpec, width: int) -> Sequence[str]:
    """The id features of one table, in order: feature i has the default row special 1 + i."""
    return [feature.name for feature in spec.features if feature.width == width]
