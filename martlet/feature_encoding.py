"""From what a caller sends to a feature block, and from a block to the graph's named inputs.

Pure. Used by serving on every request, by the trainer on recorded blocks, by the exporter for its parity check.
"""

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from martlet.errors import InvalidInput
from martlet.feature_spec import POSITION, Feature, FeatureBlock, FeatureKind, FeatureSpec, Side
from martlet.keys import MISSING_ID, id_value
from martlet.normalising import bounds_of, longest_run, text_ids
from martlet.signature import LOGIT, ROW_OF_USER, SCORE, Signature, TensorSpec

ItemId = int | str
Floats = npt.NDArray[np.float32]
Value = int | float | str | Sequence[int | str] | Sequence[float] | Floats

USER_ID = "user_id"
ITEM_ID = "item_id"
MASK_SUFFIX = "_mask"
_LEAST_ID, _GREATEST_ID = -(2**63), 2**63 - 1
MAX_NUMBER = float(np.finfo(np.float32).max)


@dataclass(frozen=True, slots=True)
class RankInput:
    """One request in the caller's words: values by source name; for each candidate its id and item values."""

    user_id: ItemId | None
    context: Mapping[str, Value]
    item_ids: Sequence[ItemId]
    item_values: Sequence[Mapping[str, Value]]


def is_vector(value: Value) -> bool:
    """Whether a value is a vector: an array of floats, or a sequence in which one is a float. Else it may hold ids."""
    if isinstance(value, np.ndarray):
        return True
    if isinstance(value, array):
        return value.typecode in "fd"
    return not isinstance(value, str | int | float) and any(isinstance(component, float) for component in value)


def encode(spec: FeatureSpec, request: RankInput) -> FeatureBlock:
    """Lays one request out (r = 1). Absent ids become the missing category, absent numbers NaN, absent lists empty.

    Raises:
        InvalidInput: a value of the wrong kind; the message names its source.
    """
    layout = spec.layout
    n = len(request.item_ids)
    user_ids = np.zeros((1, layout.user_id_columns), np.int64)
    user_numbers = np.zeros((1, layout.user_number_columns), np.float32)
    item_ids = np.zeros((n, layout.item_id_columns), np.int64)
    item_numbers = np.zeros((n, layout.item_number_columns), np.float32)
    for feature in spec.features:
        column = layout.first_column[feature.name]
        if feature.side is Side.USER:
            _write(feature, [_user_value(feature, request)], user_ids, user_numbers, column)
        else:
            _write(feature, _item_values(feature, request), item_ids, item_numbers, column)
    return FeatureBlock(user_ids, user_numbers, item_ids, item_numbers, np.zeros(n, np.int64))


def concatenate(blocks: Sequence[FeatureBlock]) -> FeatureBlock:
    """Several blocks of one spec as one, user rows and item rows in order."""
    if len(blocks) == 1:
        return blocks[0]
    user_counts = [block.user_ids.shape[0] for block in blocks]
    offsets = np.cumsum([0, *user_counts[:-1]])
    return FeatureBlock(
        np.concatenate([block.user_ids for block in blocks]),
        np.concatenate([block.user_numbers for block in blocks]),
        np.concatenate([block.item_ids for block in blocks]),
        np.concatenate([block.item_numbers for block in blocks]),
        np.concatenate([block.row_of_user + offset for block, offset in zip(blocks, offsets, strict=True)]),
    )


def signature_of(spec: FeatureSpec, more: Sequence[TensorSpec] = ()) -> Signature:
    """The graph's inputs and outputs for this spec, in the order in which `feed` gives them; `more`: other outputs."""
    inputs: list[TensorSpec] = []
    for feature in spec.features:
        rows = "r" if feature.side is Side.USER else "n"
        if feature.kind is FeatureKind.ID:
            inputs.append(TensorSpec(feature.name, "int64", (rows,)))
        elif feature.kind is FeatureKind.ID_LIST:
            inputs.append(TensorSpec(feature.name, "int64", (rows, feature.max_len)))
            inputs.append(TensorSpec(feature.name + MASK_SUFFIX, "float32", (rows, feature.max_len)))
        else:
            inputs.append(TensorSpec(feature.name, "float32", (rows, feature.max_len)))
    inputs.append(TensorSpec(ROW_OF_USER, "int64", ("n",)))
    outputs = (TensorSpec(SCORE, "float32", ("n",)), TensorSpec(LOGIT, "float32", ("n",)))
    return Signature(tuple(inputs), (*outputs, *more))


def is_signature_of(spec: FeatureSpec, signature: Signature) -> bool:
    """Whether a version with this spec may have this signature; without features any, as only raw tensors reach it.

    Outputs of its own (see `martlet.signature`) have a row for each item row.
    """
    if not spec.features:
        return True
    more = signature.outputs[2:]
    names = [output.name for output in signature.outputs]
    by_rows = all(
        output.dtype == "float32" and output.dims[:1] == ("n",) and all(isinstance(dim, int) for dim in output.dims[1:])
        for output in more
    )
    return by_rows and len(set(names)) == len(names) and signature == signature_of(spec, more)


def feed(spec: FeatureSpec, block: FeatureBlock) -> dict[str, npt.NDArray[np.generic]]:
    """The block as the graph's named inputs (see `signature_of`), each contiguous."""
    arrays: dict[str, npt.NDArray[np.generic]] = {}
    for feature in spec.features:
        ids, numbers = _side_matrices(block, feature.side)
        column = spec.layout.first_column[feature.name]
        if feature.kind is FeatureKind.ID:
            arrays[feature.name] = np.ascontiguousarray(ids[:, column])
        elif feature.kind is FeatureKind.ID_LIST:
            arrays[feature.name] = np.ascontiguousarray(ids[:, column + 1 : column + 1 + feature.max_len])
            arrays[feature.name + MASK_SUFFIX] = list_mask(ids[:, column], feature.max_len)
        else:
            arrays[feature.name] = np.ascontiguousarray(numbers[:, column : column + feature.max_len])
    arrays[ROW_OF_USER] = block.row_of_user
    return arrays


def list_mask(counts: npt.NDArray[np.int64], max_len: int) -> npt.NDArray[np.float32]:
    """1 where a list has an id, 0 where it is padding: float32[rows, max_len]."""
    return (np.arange(max_len) < counts[:, None]).astype(np.float32)


def _side_matrices(block: FeatureBlock, side: Side) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    if side is Side.USER:
        return block.user_ids, block.user_numbers
    return block.item_ids, block.item_numbers


def _user_value(feature: Feature, request: RankInput) -> Value | None:
    if feature.source == USER_ID:
        return request.user_id
    return request.context.get(feature.source)


def _item_values(feature: Feature, request: RankInput) -> Sequence[Value | None]:
    if feature.source == ITEM_ID:
        return request.item_ids
    if feature.source == POSITION:
        return [0] * len(request.item_ids)
    return [values.get(feature.source) for values in request.item_values]


def _write(
    feature: Feature,
    values: Sequence[Value | None],
    ids: npt.NDArray[np.int64],
    numbers: npt.NDArray[np.float32],
    column: int,
) -> None:
    """One feature of all rows at once: one by one, their assignment to the array would be most of the work."""
    if feature.kind is FeatureKind.ID:
        ids[:, column] = _ids(feature, values)
    elif feature.kind is FeatureKind.ID_LIST:
        for row, value in enumerate(values):
            _write_list(feature, value, ids[row], column)
    elif feature.kind is FeatureKind.VECTOR:
        for row, value in enumerate(values):
            numbers[row, column : column + feature.max_len] = np.nan if value is None else _vector_of(feature, value)
    else:
        numbers[:, column] = [np.nan if value is None else _number_of(feature, value) for value in values]


def _ids(feature: Feature, values: Sequence[Value | None]) -> Sequence[int]:
    if not feature.normalise:
        return [MISSING_ID if value is None else _id_of(feature, value) for value in values]
    numbers = np.array([np.nan if value is None else _number_of(feature, value) for value in values])
    buckets = np.searchsorted(bounds_of(feature.normalise), numbers, side="right").tolist()
    return [MISSING_ID if number != number else bucket for number, bucket in zip(numbers, buckets, strict=True)]  # noqa: PLR0124  NaN


def _write_list(feature: Feature, value: Value | None, ids: npt.NDArray[np.int64], column: int) -> None:
    if value is None:
        return
    kept = _listed(feature, value)
    ids[column] = len(kept)
    ids[column + 1 : column + 1 + len(kept)] = kept


def _listed(feature: Feature, value: Value) -> list[int]:
    if feature.normalise:
        if not isinstance(value, str):
            raise InvalidInput(f"feature {feature.source!r} takes a text")
        return text_ids(value, longest_run(feature.normalise))[: feature.max_len]
    if isinstance(value, str | int | float):
        raise InvalidInput(f"feature {feature.source!r} takes a list of ids")
    return [_id_of(feature, item) for item in value[: feature.max_len]]


def _vector_of(feature: Feature, value: Value) -> Floats:
    try:
        vector = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        vector = np.empty(0)
    if isinstance(value, str) or vector.shape != (feature.max_len,):
        raise InvalidInput(f"feature {feature.source!r} takes a vector of {feature.max_len} numbers")
    if (np.abs(vector) > MAX_NUMBER).any():  # a NaN passes: it means missing
        raise InvalidInput(f"feature {feature.source!r} holds a number that does not fit into 32 bits")
    return vector.astype(np.float32)


def _id_of(feature: Feature, value: object) -> int:
    if type(value) is int and _LEAST_ID <= value <= _GREATEST_ID:  # nearly all are
        return value
    if not isinstance(value, int | str):
        raise InvalidInput(f"feature {feature.source!r} takes an id (an integer or a text)")
    return id_value(value)


def _number_of(feature: Feature, value: object) -> float:
    # On the wire a whole number may have been sent as an id.
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidInput(f"feature {feature.source!r} takes a number")
    if abs(value) > MAX_NUMBER:  # a NaN passes: it means missing
        raise InvalidInput(f"feature {feature.source!r} is {value}, which does not fit into 32 bits")
    return float(value)
