"""Rows on their way: how far they may move, and that each moves for itself."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from martlet.row_encoding import EncodedRows, RowEncoding, as_served, decode_rows, encode_rows

WIDTH = 3
FINITE = st.floats(-(2.0**127), 2.0**127, width=32)
ROWS = st.integers(0, 5).flatmap(lambda r: arrays(np.float32, (r, WIDTH), elements=FINITE | st.floats(-2, 2, width=32)))
HALVES = st.integers(0, 5).flatmap(
    lambda r: arrays(np.float16, (r, WIDTH), elements=st.floats(-65504, 65504, width=16))
)


@given(ROWS)
@settings(max_examples=300, deadline=None)
def test_int8_moves_a_number_by_half_a_scale_at_most(rows: npt.NDArray[np.float32]) -> None:
    encoded = encode_rows(rows, RowEncoding.INT8)
    assert encoded.values.dtype == np.int8
    assert encoded.scales is not None
    scales = encoded.scales.astype(np.float64)[:, None]
    served = decode_rows(encoded, "float32").astype(np.float64)
    assert (np.abs(served - rows) <= scales / 2 * (1 + 1e-6)).all()
    largest = np.abs(rows).max(axis=1, initial=0)[:, None] / 127
    assert (scales <= largest * (1 + 2**-10) + 6e-8).all(), "a scale is as small as float16 lets it be"


@given(HALVES)
@settings(max_examples=200, deadline=None)
def test_int8_of_a_float16_table_stays_finite_and_near(rows: npt.NDArray[np.float16]) -> None:
    encoded = encode_rows(rows, RowEncoding.INT8)
    assert encoded.scales is not None
    served = decode_rows(encoded, "float16")
    assert served.dtype == np.float16
    assert np.isfinite(served).all()
    allowed = encoded.scales.astype(np.float64)[:, None] / 2 + np.abs(rows).astype(np.float64) * 2**-10 + 6e-8
    assert (np.abs(served.astype(np.float64) - rows) <= allowed).all()


@given(ROWS, st.sampled_from(list(RowEncoding)))
@settings(max_examples=300, deadline=None)
def test_a_row_moves_for_itself(rows: npt.NDArray[np.float32], encoding: RowEncoding) -> None:
    """So that who has the row can tell what is served, whatever it travelled with."""
    together = as_served(rows, encoding)
    assert together.dtype == rows.dtype
    for row, served in zip(rows, together, strict=True):
        assert as_served(row[None], encoding).tobytes() == served.tobytes()


@pytest.mark.parametrize(
    ("dtype", "encoding"),
    [("float32", RowEncoding.FLOAT32), ("float16", RowEncoding.FLOAT32), ("float16", RowEncoding.FLOAT16)],
)
def test_exact_encodings_are_exact(dtype: str, encoding: RowEncoding) -> None:
    rows = np.array([[1.1, -0.0, 65504.0]], dtype)
    assert encoding.is_exact(dtype)
    assert as_served(rows, encoding).tobytes() == rows.tobytes()
    assert encode_rows(rows, encoding).values.dtype == np.dtype(dtype)


def test_half_rounds_to_the_nearest_and_keeps_what_it_cannot_hold() -> None:
    rows = np.array([[1.0004, 1.0005, 0.1], [70000.0, 0.1, 1.0]], np.float32)
    served = as_served(rows, RowEncoding.FLOAT16)
    np.testing.assert_array_equal(served[0], rows[0].astype(np.float16))
    np.testing.assert_array_equal(served[1], rows[1])


@pytest.mark.parametrize("encoding", list(RowEncoding))
@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_does_not_become_finite(encoding: RowEncoding, odd: float) -> None:
    """So that the gates see it."""
    served = as_served(np.array([[odd, 1.0, 2.0], [1.0, 1.0, 1.0]], np.float32), encoding)
    assert not np.isfinite(served[0]).all()
    assert np.isfinite(served[1]).all()


def test_a_zero_row_stays_zero() -> None:
    encoded = encode_rows(np.zeros((1, WIDTH), np.float32), RowEncoding.INT8)
    assert not decode_rows(encoded, "float32").any()


def test_scales_take_two_bytes_unless_a_row_is_huge() -> None:
    small, huge = np.full((1, WIDTH), 0.3, np.float32), np.full((1, WIDTH), 1e9, np.float32)
    for rows, dtype in ((small, np.float16), (np.concatenate([small, huge]), np.float32)):
        encoded = encode_rows(rows, RowEncoding.INT8)
        assert encoded.scales is not None
        assert encoded.scales.dtype == dtype


def test_a_hostile_scale_of_a_float16_table_is_seen() -> None:
    encoded = EncodedRows(np.ones((1, WIDTH), np.int8), np.array([np.inf], np.float16))
    assert decode_rows(EncodedRows(encoded.values, np.array([np.nan], np.float32)), "float16").dtype == np.float16
    assert np.isnan(decode_rows(EncodedRows(encoded.values, np.array([np.nan], np.float32)), "float16")).all()
