"""Blobs of an embedding table and of dense weights: safetensors, format 2 (dense weights: format 1).

A *base* holds a full table in logical order; a *delta* holds the slots that changed, with the keys that were placed,
displaced or cleared. Each delta names its predecessor's digest, which makes the chain a hash chain.

Tensors of a base: `keys` int64[n, 4], `rows` [n, 4, width] and `special` [s, width] of the table's dtype (float32 or
float16).
Tensors of a delta of m changed buckets: `gaps` uint8, uint16 or int32 [m], the first bucket's number and then the
distance to the next; `masks` uint8[m], bits 0-3 the changed rows and bits 4-7 the changed keys of the bucket; `keys`
int64[k] and `rows` [r, width] in the order of buckets and places, rows of the table's dtype, float16, or int8 with
`scales` float16 or float32 [r] (see `martlet.row_encoding`); `special` as in a base.
`special` are the rows outside the buckets: row 0 is the zero row of padding, row 1 + i is the default row of the i-th
id feature of this table in the spec's order. They are few, and travel whole and exactly.

Format 1 is read still: float32 alone, and a delta of whole buckets (`buckets` int32[m], `keys` int64[m, 4], `rows`
float32[m, 4, width]).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from martlet.blob_tensors import Tensors, decode_tensors, encode_tensors, expect_kind, tensor, tensor_of
from martlet.errors import Corrupt
from martlet.row_encoding import EncodedRows, RowEncoding, decode_rows, encode_rows
from martlet.table_layout import MIN_BUCKETS, SLOTS

BLOB_FORMAT: Final = 2
DENSE_FORMAT: Final = 1
TABLE_DTYPES: Final = frozenset({"float32", "float16"})
ALL_PLACES: Final = (1 << SLOTS) - 1
_READ: Final = (1, 2)
_SEQUENCE: Final = re.compile(r"[0-9]{1,18}")

Numbers = npt.NDArray[np.int32]
Masks = npt.NDArray[np.uint8]
Keys = npt.NDArray[np.int64]
Rows = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class TableBase:
    """A full table, buckets in logical order; rows are float32 or float16."""

    keys: Keys
    rows: Rows
    special: Rows

    @property
    def buckets(self) -> int:
        """Number of logical buckets."""
        return int(self.keys.shape[0])


@dataclass(frozen=True, slots=True, eq=False)
class TableDelta:
    """The slots that changed since the predecessor.

    Attributes:
        sequence: position in the chain, from 1.
        previous: digest of the predecessor's blob (the base's for sequence 1).
        buckets: int32[m], ascending.
        row_mask: uint8[m]; bit p: the row in place p changed.
        key_mask: uint8[m]; bit p: the key in place p changed.
        keys: int64[k], the changed keys by bucket and place.
        rows: [r, width], the changed rows by bucket and place, of the table's dtype.
        special: [s, width], all of them.
    """

    sequence: int
    previous: str
    buckets: Numbers
    row_mask: Masks
    key_mask: Masks
    keys: Keys
    rows: Rows
    special: Rows

    @classmethod
    def of_buckets(
        cls, sequence: int, previous: str, buckets: Numbers, keys: Keys, rows: Rows, special: Rows
    ) -> "TableDelta":
        """Whole buckets: keys [m, 4] and rows [m, 4, width]."""
        mask = np.full(buckets.shape[0], ALL_PLACES, np.uint8)
        return cls(sequence, previous, buckets, mask, mask, keys.reshape(-1), rows.reshape(-1, rows.shape[-1]), special)


def places(mask: Masks) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Which bucket of the mask's, and which place in it, for each bit that is set: by bucket, then by place."""
    bucket, place = np.nonzero((mask[:, None] >> np.arange(SLOTS, dtype=np.uint8)) & np.uint8(1))
    return bucket, place


def encode_base(base: TableBase) -> bytes:
    """A base as bytes."""
    return encode_tensors({"keys": base.keys, "rows": base.rows, "special": base.special}, "base", BLOB_FORMAT)


def encode_delta(delta: TableDelta, encoding: RowEncoding = RowEncoding.FLOAT32) -> bytes:
    """A delta as bytes, its rows in this encoding."""
    rows = encode_rows(delta.rows, encoding)
    tensors: Tensors = {
        "gaps": _gaps(delta.buckets),
        "masks": delta.row_mask | (delta.key_mask << np.uint8(SLOTS)),
        "keys": delta.keys,
        "rows": rows.values,
        "special": delta.special,
    }
    if rows.scales is not None:
        tensors["scales"] = rows.scales
    return encode_tensors(tensors, "delta", BLOB_FORMAT, {"sequence": str(delta.sequence), "previous": delta.previous})


def decode_base(data: bytes, width: int, buckets: int, dtype: str = "float32") -> TableBase:
    """Reads a base and checks its shapes and dtypes.

    Raises:
        Corrupt: not a base of a known format, of this width, size and dtype.
    """
    expect_kind(data, "base", _READ if dtype == "float32" else (BLOB_FORMAT,))
    tensors = decode_tensors(data)
    kind = np.dtype(dtype).type
    keys = tensor(tensors, "keys", np.int64, (buckets, SLOTS))
    rows = tensor(tensors, "rows", kind, (buckets, SLOTS, width))
    special = tensor(tensors, "special", kind, (None, width))
    if buckets < MIN_BUCKETS:
        raise Corrupt(f"a table has at least {MIN_BUCKETS} buckets, not {buckets}")
    return TableBase(keys, rows, special)


def decode_delta(data: bytes, width: int, buckets: int, dtype: str = "float32") -> TableDelta:
    """Reads a delta of a table of this dtype, and checks shapes, dtypes, and that its buckets ascend inside the table.

    Raises:
        Corrupt: not a delta of a known format that fits this table.
    """
    metadata = expect_kind(data, "delta", _READ if dtype == "float32" else (BLOB_FORMAT,))
    sequence = metadata.get("sequence", "")
    if not _SEQUENCE.fullmatch(sequence):
        raise Corrupt("a delta must bear its sequence number")
    read = _slots if metadata["format"] == str(BLOB_FORMAT) else _whole_buckets
    return read(decode_tensors(data), int(sequence), metadata.get("previous", ""), width, buckets, dtype)


def encode_dense(weights: Mapping[str, npt.NDArray[np.generic]]) -> bytes:
    """Dense weights by parameter or buffer name."""
    return encode_tensors({name: weights[name] for name in sorted(weights)}, "dense", DENSE_FORMAT)


def decode_dense(data: bytes) -> dict[str, npt.NDArray[np.generic]]:
    """Reads dense weights.

    Raises:
        Corrupt: not dense weights of format 1.
    """
    expect_kind(data, "dense", (DENSE_FORMAT,))
    return decode_tensors(data)


def _slots(tensors: Tensors, sequence: int, previous: str, width: int, buckets: int, dtype: str) -> TableDelta:
    gaps = tensor_of(tensors, "gaps", ("uint8", "uint16", "int32"), (None,))
    masks = tensor(tensors, "masks", np.uint8, (gaps.shape[0],))
    row_mask, key_mask = masks & np.uint8(ALL_PLACES), masks >> np.uint8(SLOTS)
    return TableDelta(
        sequence,
        previous,
        _ascending(gaps, buckets),
        row_mask,
        key_mask,
        tensor(tensors, "keys", np.int64, (_count(key_mask),)),
        _rows(tensors, (_count(row_mask), width), dtype),
        tensor(tensors, "special", np.dtype(dtype).type, (None, width)),
    )


def _whole_buckets(tensors: Tensors, sequence: int, previous: str, width: int, buckets: int, dtype: str) -> TableDelta:
    numbers = tensor(tensors, "buckets", np.int32, (None,))
    m = numbers.shape[0]
    # Compared, not subtracted: differences of int32 wrap around.
    if m and (numbers[0] < 0 or numbers[-1] >= buckets or (numbers[1:] <= numbers[:-1]).any()):
        raise Corrupt("a delta's bucket numbers must ascend inside the table")
    return TableDelta.of_buckets(
        sequence,
        previous,
        numbers,
        tensor(tensors, "keys", np.int64, (m, SLOTS)),
        tensor(tensors, "rows", np.dtype(dtype).type, (m, SLOTS, width)),
        tensor(tensors, "special", np.dtype(dtype).type, (None, width)),
    )


def _rows(tensors: Tensors, shape: tuple[int, int], dtype: str) -> Rows:
    values = tensor_of(tensors, "rows", (dtype, "float16", "int8"), shape)
    if values.dtype != np.int8:
        return decode_rows(EncodedRows(values), dtype)
    scales = tensor_of(tensors, "scales", ("float16", "float32"), (shape[0],))
    return decode_rows(EncodedRows(values, scales), dtype)  # type: ignore[arg-type]


def _gaps(buckets: Numbers) -> npt.NDArray[np.generic]:
    """The first number and the distances to the next, in the smallest dtype that holds them."""
    numbers = buckets.astype(np.int64)
    gaps = numbers - np.concatenate([np.zeros(1, np.int64), numbers[:-1]]) if numbers.shape[0] else numbers
    largest = int(gaps.max(initial=0))
    if gaps.min(initial=0) >= 0:
        for dtype in (np.uint8, np.uint16):
            if largest <= np.iinfo(dtype).max:
                return gaps.astype(dtype)
    return gaps.astype(np.int32)


def _ascending(gaps: npt.NDArray[np.generic], buckets: int) -> Numbers:
    distances = gaps.astype(np.int64)
    numbers = np.cumsum(distances)
    if numbers.shape[0] and (distances[0] < 0 or (distances[1:] < 1).any() or numbers[-1] >= buckets):
        raise Corrupt("a delta's bucket numbers must ascend inside the table")
    return numbers.astype(np.int32)


def _count(mask: Masks) -> int:
    return int(np.bitwise_count(mask).sum())
