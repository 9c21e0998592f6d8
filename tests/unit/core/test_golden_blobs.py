"""Blobs of formats 1 and 2, as they were first written, still read; and format 2 gives the same bytes still."""

from pathlib import Path

import numpy as np
import pytest

from martlet.digest import blob_digest
from martlet.row_encoding import RowEncoding, as_served
from martlet.table_blobs import (
    TableBase,
    TableDelta,
    decode_base,
    decode_delta,
    decode_dense,
    encode_base,
    encode_delta,
    encode_dense,
)
from tests.unit.core.test_table_blobs import BASE, DELTA

GOLDEN = Path(__file__).parents[2] / "golden"
DENSE = {"b": np.arange(3, dtype=np.float32), "a": np.array([[1.5, -2.0]], np.float32), "n": np.array(7, np.int64)}
HALF_BASE = TableBase(BASE.keys, BASE.rows.astype(np.float16), BASE.special.astype(np.float16))
SLOTS_DELTA = TableDelta(
    5, "mt1-" + "a" * 64, np.array([1, 3], np.int32), np.array([0b1001, 0b0100], np.uint8),
    np.array([0b0001, 0b0000], np.uint8), np.array([77]),
    np.array([[0.5, -1.25], [3.0, 1e-3], [0.0, 70000.0]], np.float32), np.ones((3, 2), np.float32),
)  # fmt: skip
DIGESTS = {
    "base_v1.safetensors": "mt1-a0a64b27540564f0e09dc53139bb496a63153d3d229ad1e36aac79f8dd4a9ecf",
    "delta_v1.safetensors": "mt1-2f149bce353b974c20fa7b2ae38f00debd4fdb4677614d63b4fc372fe89a2ab7",
    "dense_v1.safetensors": "mt1-7f95e4ddfe5b30e3bb68882dd26ff339c721e42b07af7bb0fdddd5c43d8c950d",
}
WRITTEN = {
    "base_v2.safetensors": lambda: encode_base(BASE),
    "base_v2_float16.safetensors": lambda: encode_base(HALF_BASE),
    "delta_v2.safetensors": lambda: encode_delta(SLOTS_DELTA),
    "delta_v2_float16.safetensors": lambda: encode_delta(SLOTS_DELTA, RowEncoding.FLOAT16),
    "delta_v2_int8.safetensors": lambda: encode_delta(SLOTS_DELTA, RowEncoding.INT8),
    "dense_v1.safetensors": lambda: encode_dense(DENSE),
}


@pytest.mark.parametrize("name", DIGESTS)
def test_golden_bytes_keep_their_digest(name: str) -> None:
    assert blob_digest((GOLDEN / name).read_bytes()) == DIGESTS[name]


@pytest.mark.parametrize("name", WRITTEN)
def test_equal_content_is_written_as_it_was(name: str) -> None:
    assert WRITTEN[name]() == (GOLDEN / name).read_bytes()


@pytest.mark.parametrize(("name", "dtype"), [("v1", "float32"), ("v2", "float32"), ("v2_float16", "float16")])
def test_golden_bases_read(name: str, dtype: str) -> None:
    found = decode_base((GOLDEN / f"base_{name}.safetensors").read_bytes(), 2, 4, dtype)
    np.testing.assert_array_equal(found.keys, BASE.keys)
    np.testing.assert_array_equal(found.rows, BASE.rows.astype(dtype))
    np.testing.assert_array_equal(found.special, BASE.special.astype(dtype))


def test_the_golden_delta_of_format_1_reads_as_whole_buckets() -> None:
    found = decode_delta((GOLDEN / "delta_v1.safetensors").read_bytes(), 2, 4)
    assert (found.sequence, found.previous, found.buckets.tolist()) == (5, DELTA.previous, [1, 3])
    assert found.row_mask.tolist() == found.key_mask.tolist() == [15, 15]
    np.testing.assert_array_equal(found.keys, DELTA.keys)
    np.testing.assert_array_equal(found.rows, DELTA.rows)


@pytest.mark.parametrize("encoding", list(RowEncoding))
def test_golden_deltas_of_format_2_read(encoding: RowEncoding) -> None:
    suffix = "" if encoding is RowEncoding.FLOAT32 else f"_{encoding}"
    found = decode_delta((GOLDEN / f"delta_v2{suffix}.safetensors").read_bytes(), 2, 4)
    assert (found.sequence, found.previous, found.buckets.tolist()) == (5, SLOTS_DELTA.previous, [1, 3])
    assert (found.row_mask.tolist(), found.key_mask.tolist(), found.keys.tolist()) == ([9, 4], [1, 0], [77])
    np.testing.assert_array_equal(found.rows, as_served(SLOTS_DELTA.rows, encoding))


def test_the_golden_dense_weights_read() -> None:
    found = decode_dense((GOLDEN / "dense_v1.safetensors").read_bytes())
    assert {name: (array.shape, array.dtype.str) for name, array in found.items()} == {
        "a": ((1, 2), "<f4"),
        "b": ((3,), "<f4"),
        "n": ((), "<i8"),
    }
