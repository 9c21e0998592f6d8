"""Blobs of tables and dense weights are read strictly."""

import numpy as np
import pytest
from safetensors.numpy import save

from martlet.errors import Corrupt
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

BASE = TableBase(
    np.arange(16, dtype=np.int64).reshape(4, 4),
    np.arange(32, dtype=np.float32).reshape(4, 4, 2),
    np.ones((3, 2), np.float32),
)
DELTA = TableDelta.of_buckets(
    5,
    "mt1-" + "a" * 64,
    np.array([1, 3], np.int32),
    np.ones((2, 4), np.int64),
    np.ones((2, 4, 2), np.float32),
    np.zeros((3, 2), np.float32),
)


def test_a_base_comes_back() -> None:
    back = decode_base(encode_base(BASE), 2, 4)
    for name in ("keys", "rows", "special"):
        np.testing.assert_array_equal(getattr(back, name), getattr(BASE, name))


def test_a_delta_comes_back() -> None:
    back = decode_delta(encode_delta(DELTA), 2, 4)
    assert (back.sequence, back.previous) == (DELTA.sequence, DELTA.previous)
    for name in ("buckets", "keys", "rows", "special"):
        np.testing.assert_array_equal(getattr(back, name), getattr(DELTA, name))


def test_equal_content_gives_equal_bytes() -> None:
    assert encode_base(BASE) == encode_base(TableBase(BASE.keys.copy(), BASE.rows.copy(), BASE.special.copy()))


def test_equal_deltas_give_equal_bytes() -> None:
    assert len({encode_delta(DELTA) for _ in range(20)}) == 1


def test_dense_weights_come_back() -> None:
    weights = {"b": np.ones(3, np.float32), "a": np.zeros((2, 2), np.float32)}
    back = decode_dense(encode_dense(weights))
    assert set(back) == {"a", "b"}
    np.testing.assert_array_equal(back["b"], weights["b"])


@pytest.mark.parametrize("buckets", [[3, 1], [1, 1], [-1, 2], [1, 4]])
def test_bucket_numbers_must_ascend_inside_the_table(buckets: list[int]) -> None:
    bad = TableDelta.of_buckets(1, "", np.array(buckets, np.int32), DELTA.keys, DELTA.rows, DELTA.special)
    with pytest.raises(Corrupt, match="ascend"):
        decode_delta(encode_delta(bad), 2, 4)


@pytest.mark.parametrize(("width", "buckets"), [(3, 4), (2, 5)])
def test_a_base_of_another_shape_is_refused(width: int, buckets: int) -> None:
    with pytest.raises(Corrupt, match="tensor"):
        decode_base(encode_base(BASE), width, buckets)


@pytest.mark.parametrize(
    "data",
    [b"", b"\x00" * 8, b"\xff" * 64, encode_base(BASE)[:100], save({"x": np.ones(1, np.float32)}), encode_dense({})],
)
def test_what_is_no_base_is_refused(data: bytes) -> None:
    with pytest.raises(Corrupt):
        decode_base(data, 2, 4)


def test_a_wrong_dtype_is_refused() -> None:
    data = save(
        {"keys": BASE.keys, "rows": BASE.rows.astype(np.float64), "special": BASE.special},
        metadata={"martlet": '{"format": "1", "kind": "base"}'},
    )
    with pytest.raises(Corrupt, match="float64"):
        decode_base(data, 2, 4)


def test_dense_weights_keep_their_shapes() -> None:
    weights = {"scale": np.array(1.5, np.float32), "matrix": np.arange(6, dtype=np.float32).reshape(2, 3).T}
    back = decode_dense(encode_dense(weights))
    assert {name: array.shape for name, array in back.items()} == {"scale": (), "matrix": (3, 2)}
    assert all(np.array_equal(back[name], weights[name]) for name in weights)
