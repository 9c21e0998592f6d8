"""Blobs of an embedding table and of dense weights: safetensors, format 1.

A *base* holds a full table in logical order; a *delta* holds the buckets that changed, whole, with their keys (so
displaced and cleared slots travel too). Each delta names its predecessor's digest, which makes the chain a hash chain.

Tensors of a base: `keys` int64[n, 4], `rows` float32[n, 4, width], `special` float32[s, width].
Tensors of a delta: `buckets` int32[m] ascending, `keys` int64[m, 4], `rows` float32[m, 4, width],
`special` float32[s, width].
`special` are the rows outside the buckets: row 0 is the zero row of padding, row 1 + i is the default row of the i-th
id feature of this table in the spec's order. They are few, and travel whole.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load, save

from martlet.errors import Corrupt
from martlet.table_layout import MIN_BUCKETS, SLOTS

BLOB_FORMAT: Final = 1
METADATA_KEY: Final = "martlet"
_SEQUENCE: Final = re.compile(r"[0-9]{1,18}")

T = TypeVar("T", bound=np.generic)
Tensors = dict[str, npt.NDArray[np.generic]]


@dataclass(frozen=True, slots=True)
class TableBase:
    """A full table, buckets in logical order."""

    keys: npt.NDArray[np.int64]
    rows: npt.NDArray[np.float32]
    special: npt.NDArray[np.float32]

    @property
    def buckets(self) -> int:
        """Number of logical buckets."""
        return int(self.keys.shape[0])


@dataclass(frozen=True, slots=True)
class TableDelta:
    """The buckets that changed since the predecessor.

    Attributes:
        sequence: position in the chain, from 1.
        previous: digest of the predecessor's blob (the base's for sequence 1).
    """

    sequence: int
    previous: str
    buckets: npt.NDArray[np.int32]
    keys: npt.NDArray[np.int64]
    rows: npt.NDArray[np.float32]
    special: npt.NDArray[np.float32]


def encode_base(base: TableBase) -> bytes:
    """A base as bytes."""
    tensors: Tensors = {"keys": base.keys, "rows": base.rows, "special": base.special}
    return _encode(tensors, {"kind": "base"})


def encode_delta(delta: TableDelta) -> bytes:
    """A delta as bytes."""
    tensors: Tensors = {"buckets": delta.buckets, "keys": delta.keys, "rows": delta.rows, "special": delta.special}
    return _encode(tensors, {"kind": "delta", "sequence": str(delta.sequence), "previous": delta.previous})


def decode_base(data: bytes, width: int, buckets: int) -> TableBase:
    """Reads a base and checks its shapes and dtypes.

    Raises:
        Corrupt: not a base of format 1 of this width and size.
    """
    _expect_kind(data, "base")
    tensors = _tensors(data)
    keys = _tensor(tensors, "keys", np.int64, (buckets, SLOTS))
    rows = _tensor(tensors, "rows", np.float32, (buckets, SLOTS, width))
    special = _tensor(tensors, "special", np.float32, (None, width))
    if buckets < MIN_BUCKETS:
        raise Corrupt(f"a table has at least {MIN_BUCKETS} buckets, not {buckets}")
    return TableBase(keys, rows, special)


def decode_delta(data: bytes, width: int, buckets: int) -> TableDelta:
    """Reads a delta and checks its shapes, dtypes and that its bucket numbers ascend inside the table.

    Raises:
        Corrupt: not a delta of format 1 that fits this table.
    """
    metadata = _expect_kind(data, "delta")
    tensors = _tensors(data)
    numbers = _tensor(tensors, "buckets", np.int32, (None,))
    m = numbers.shape[0]
    # Compared, not subtracted: differences of int32 wrap around.
    if m and (numbers[0] < 0 or numbers[-1] >= buckets or (numbers[1:] <= numbers[:-1]).any()):
        raise Corrupt("a delta's bucket numbers must ascend inside the table")
    sequence = metadata.get("sequence", "")
    if not _SEQUENCE.fullmatch(sequence):
        raise Corrupt("a delta must bear its sequence number")
    return TableDelta(
        sequence=int(sequence),
        previous=metadata.get("previous", ""),
        buckets=numbers,
        keys=_tensor(tensors, "keys", np.int64, (m, SLOTS)),
        rows=_tensor(tensors, "rows", np.float32, (m, SLOTS, width)),
        special=_tensor(tensors, "special", np.float32, (None, width)),
    )


def encode_dense(weights: Mapping[str, npt.NDArray[np.generic]]) -> bytes:
    """Dense weights by parameter or buffer name."""
    tensors = {name: weights[name] for name in sorted(weights)}
    return _encode(tensors, {"kind": "dense"})


def decode_dense(data: bytes) -> dict[str, npt.NDArray[np.generic]]:
    """Reads dense weights.

    Raises:
        Corrupt: not dense weights of format 1.
    """
    _expect_kind(data, "dense")
    return dict(_tensors(data))


def _encode(tensors: Mapping[str, npt.NDArray[np.generic]], texts: Mapping[str, str]) -> bytes:
    """Equal content must give equal bytes, and safetensors writes its free texts in random order: so there is one."""
    header = json.dumps({"format": str(BLOB_FORMAT), **texts}, sort_keys=True)
    # Not ascontiguousarray: that would give a number without dimensions one.
    contiguous = {name: np.asarray(array, order="C") for name, array in tensors.items()}
    return save(contiguous, metadata={METADATA_KEY: header})


def _tensors(data: bytes) -> dict[str, npt.NDArray[np.generic]]:
    try:
        return dict(load(data))
    except Exception as error:  # safetensors raises a Rust exception class of its own
        raise Corrupt(f"not a safetensors blob: {error}") from error


def _expect_kind(data: bytes, kind: str) -> dict[str, str]:
    metadata = _metadata(data)
    if metadata.get("kind") != kind or metadata.get("format") != str(BLOB_FORMAT):
        raise Corrupt(f"expected a {kind} blob of format {BLOB_FORMAT}, found {metadata or 'no metadata'}")
    return metadata


def _metadata(data: bytes) -> dict[str, str]:
    """Our texts in the header: an 8-byte little-endian length, then JSON."""
    size = int.from_bytes(data[:8], "little")
    try:
        header = json.loads(data[8 : 8 + size])
        metadata = json.loads(header.get("__metadata__", {}).get(METADATA_KEY, "{}"))
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise Corrupt(f"not a safetensors blob: {error}") from error
    return {str(name): str(text) for name, text in metadata.items()} if isinstance(metadata, dict) else {}


def _tensor(
    tensors: Mapping[str, npt.NDArray[np.generic]], name: str, dtype: type[T], shape: tuple[int | None, ...]
) -> npt.NDArray[T]:
    array = tensors.get(name)
    if array is None:
        raise Corrupt(f"the blob has no tensor {name!r}")
    fits = array.ndim == len(shape) and all(want in (None, have) for want, have in zip(shape, array.shape, strict=True))
    if array.dtype != np.dtype(dtype) or not fits:
        raise Corrupt(f"tensor {name!r} is {array.dtype}{list(array.shape)}, expected {np.dtype(dtype)}{list(shape)}")
    return array.view(dtype)
