"""Evaluates an item filter over columns: a few passes over arrays, whatever the number of items. Pure."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from martlet.item_filter import All, Between, Either, In, ItemFilter, Not
from martlet.keys import id_value
from serving_svc.item_columns import ColumnView, Mask

_EXACT = 2.0**53  # beyond, a float64 stands for several whole numbers: two ids would be taken for one
_FEW = 8  # up to so many values a pass for each is faster than one sorted search


def filter_mask(tree: ItemFilter, columns: Mapping[str, ColumnView], rows: int) -> Mask:
    """Where the filter holds, bool[rows]. An attribute without a column is absent everywhere.

    Args:
        tree: the filter.
        columns: by attribute.
        rows: at most as many as the columns have.
    """
    if isinstance(tree, All):
        return _joined(tree.parts, columns, rows, every=True)
    if isinstance(tree, Either):
        return _joined(tree.parts, columns, rows, every=False)
    if isinstance(tree, Not):
        return np.logical_not(filter_mask(tree.part, columns, rows))
    column = columns.get(tree.attribute)
    if column is None:
        return np.zeros(rows, np.bool_)
    return _is_in(tree, column, rows) if isinstance(tree, In) else _is_between(tree, column, rows)


def filter_at(tree: ItemFilter, columns: Mapping[str, ColumnView], slots: npt.NDArray[np.int64]) -> Mask:
    """Where the filter holds for these slots alone, bool[len(slots)]."""
    return filter_mask(tree, {name: column.at(slots) for name, column in columns.items()}, slots.shape[0])


def _joined(parts: tuple[ItemFilter, ...], columns: Mapping[str, ColumnView], rows: int, *, every: bool) -> Mask:
    mask = np.full(rows, every)
    for part in parts:
        held = filter_mask(part, columns, rows)
        mask = mask & held if every else mask | held
    return mask


def _is_in(condition: In, column: ColumnView, rows: int) -> Mask:
    ids = [id_value(value) for value in condition.values if not isinstance(value, float)]
    numbers = [
        value
        for value in condition.values
        if not isinstance(value, str) and (isinstance(value, float) or abs(value) < _EXACT)
    ]
    mask = _any_of(column.numbers[:rows], np.array(numbers, np.float64))
    if ids:
        counts = column.counts[:rows]
        for place in range(column.ids.shape[1]):
            mask |= _any_of(column.ids[:rows, place], np.array(ids, np.int64)) & (counts > place)
    return mask


def _any_of(values: npt.NDArray[np.generic], wanted: npt.NDArray[np.generic]) -> Mask:
    if wanted.shape[0] > _FEW:
        ordered = np.sort(wanted)
        places = np.minimum(np.searchsorted(ordered, values), ordered.shape[0] - 1)
        return np.asarray(ordered[places] == values)
    mask = np.zeros(values.shape[0], np.bool_)
    for value in wanted:
        mask |= values == value
    return mask


def _is_between(condition: Between, column: ColumnView, rows: int) -> Mask:
    numbers = column.numbers[:rows]  # NaN compares false, so what has no number is out
    mask = ~np.isnan(numbers)
    if condition.low is not None:
        mask &= numbers >= condition.low
    if condition.high is not None:
        mask &= numbers <= condition.high
    return mask
