"""What the dense part is fed with for a block: one tensor for each of its inputs, one row for each example."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch

from martlet.feature_encoding import list_mask
from martlet.feature_spec import Feature, FeatureBlock, FeatureKind, FeatureSpec, Side
from trainer_svc.id_lookup import TableLookup

T = TypeVar("T", bound=np.generic)
Floats = npt.NDArray[np.float32]


def dense_inputs(
    spec: FeatureSpec, lookups: Sequence[TableLookup], block: FeatureBlock, gathered: Sequence[torch.Tensor]
) -> list[torch.Tensor]:
    """Rows, masks and numbers in the order of `dense_input_names`.

    `gathered` are the rows of each table in the order of `TableLookup.spread`, float32[N, width].
    """
    pieces: dict[str, torch.Tensor] = {}
    for lookup, rows in zip(lookups, gathered, strict=True):
        sizes = [block.rows * feature.max_len for feature in lookup.features]
        # One split: its backward pass is one copy, where a slice for each feature would fill the whole with zeros.
        parts: tuple[torch.Tensor, ...] = rows.split_with_sizes(sizes)
        pieces |= {feature.name: part for feature, part in zip(lookup.features, parts, strict=True)}
    inputs: list[torch.Tensor] = []
    for feature in spec.features:
        if feature.is_id:
            inputs += _id_inputs(spec, block, feature, pieces[feature.name])
        else:
            inputs.append(owned(_numbers(spec, block, feature)))
    return inputs


def numbers_of(spec: FeatureSpec, block: FeatureBlock, names: Sequence[str]) -> Floats:
    """These numbers and vectors side by side in the spec's order: float32[n, k]."""
    columns = [_numbers(spec, block, feature) for feature in spec.features if feature.name in names]
    return np.concatenate(columns, 1) if columns else np.zeros((block.rows, 0), np.float32)


def list_counts(spec: FeatureSpec, block: FeatureBlock, feature: Feature) -> npt.NDArray[np.int64]:
    """How many ids each example's list has: int64[n]."""
    return _columns(spec, block, feature, block.user_ids, block.item_ids)[:, 0]


def owned(values: Floats) -> torch.Tensor:
    """A copy in torch's own memory: always aligned in the same way, so that sums have the same order."""
    return torch.tensor(values)


def _id_inputs(spec: FeatureSpec, block: FeatureBlock, feature: Feature, rows: torch.Tensor) -> list[torch.Tensor]:
    if feature.kind is FeatureKind.ID:
        return [rows]
    mask = owned(list_mask(list_counts(spec, block, feature), feature.max_len))
    rows = rows.view(block.rows, feature.max_len, feature.width)  # padding is the zero row already
    if not feature.pool:
        return [rows, mask]
    total = rows.sum(1)
    return [total if feature.pool == "sum" else total / mask.sum(1, keepdim=True).clamp(min=1.0)]


def _numbers(spec: FeatureSpec, block: FeatureBlock, feature: Feature) -> Floats:
    """A number, or a vector's components, of each example: float32[n, k]."""
    return _columns(spec, block, feature, block.user_numbers, block.item_numbers, feature.max_len)


def _columns(
    spec: FeatureSpec,
    block: FeatureBlock,
    feature: Feature,
    user: npt.NDArray[T],
    item: npt.NDArray[T],
    count: int = 1,
) -> npt.NDArray[T]:
    """The first columns of a feature in its side's matrix, one row for each example: [n, count]."""
    first = spec.layout.first_column[feature.name]
    column = slice(first, first + count)
    return item[:, column] if feature.side is Side.ITEM else user[block.row_of_user, column]
