"""Blobs of format 1, as they were first written, still read; and the same content still gives the same bytes."""

from pathlib import Path

import numpy as np
import pytest

from martlet.digest import blob_digest
from martlet.table_blobs import decode_base, decode_delta, decode_dense, encode_base, encode_delta, encode_dense
from tests.unit.core.test_table_blobs import BASE, DELTA

GOLDEN = Path(__file__).parents[2] / "golden"
DENSE = {"b": np.arange(3, dtype=np.float32), "a": np.array([[1.5, -2.0]], np.float32), "n": np.array(7, np.int64)}
DIGESTS = {
    "base_v1.safetensors": "mt1-a0a64b27540564f0e09dc53139bb496a63153d3d229ad1e36aac79f8dd4a9ecf",
    "delta_v1.safetensors": "mt1-2f149bce353b974c20fa7b2ae38f00debd4fdb4677614d63b4fc372fe89a2ab7",
    "dense_v1.safetensors": "mt1-7f95e4ddfe5b30e3bb68882dd26ff339c721e42b07af7bb0fdddd5c43d8c950d",
}


@pytest.mark.parametrize("name", DIGESTS)
def test_golden_bytes_keep_their_digest(name: str) -> None:
    assert blob_digest((GOLDEN / name).read_bytes()) == DIGESTS[name]


def test_the_golden_base_reads_and_is_written_alike() -> None:
    data = (GOLDEN / "base_v1.safetensors").read_bytes()
    np.testing.assert_array_equal(decode_base(data, 2, 4).rows, BASE.rows)
    assert encode_base(BASE) == data


def test_the_golden_delta_reads_and_is_written_alike() -> None:
    data = (GOLDEN / "delta_v1.safetensors").read_bytes()
    found = decode_delta(data, 2, 4)
    assert (found.sequence, found.previous, found.buckets.tolist()) == (5, DELTA.previous, [1, 3])
    assert encode_delta(DELTA) == data


def test_the_golden_dense_weights_read_and_are_written_alike() -> None:
    data = (GOLDEN / "dense_v1.safetensors").read_bytes()
    found = decode_dense(data)
    assert {name: (array.shape, array.dtype.str) for name, array in found.items()} == {
        "a": ((1, 2), "<f4"),
        "b": ((3,), "<f4"),
        "n": ((), "<i8"),
    }
    assert encode_dense(DENSE) == data
