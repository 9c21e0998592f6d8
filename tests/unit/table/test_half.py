"""float16 in kernels is numpy's, bit for bit, by the processor and by integers."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from trainer_svc.table.compiling import kernel
from trainer_svc.table.half import (
    IN_HARDWARE,
    narrowed_by_integers,
    narrowed_by_processor,
    widened_by_integers,
    widened_by_processor,
)
from trainer_svc.table.kernels import read_row, write_row

ALL_HALVES = np.arange(1 << 16, dtype=np.uint16)


@kernel
def widen_by_integers(bits: npt.NDArray[np.uint16], out: npt.NDArray[np.float32]) -> None:
    for i in range(bits.shape[0]):
        out[i] = widened_by_integers(bits[i])


@kernel
def widen_by_processor(bits: npt.NDArray[np.uint16], out: npt.NDArray[np.float32]) -> None:
    for i in range(bits.shape[0]):
        out[i] = widened_by_processor(bits[i])


@kernel
def narrow_by_integers(values: npt.NDArray[np.float32], out: npt.NDArray[np.uint16]) -> None:
    for i in range(values.shape[0]):
        out[i] = narrowed_by_integers(values[i])


@kernel
def narrow_by_processor(values: npt.NDArray[np.float32], out: npt.NDArray[np.uint16]) -> None:
    for i in range(values.shape[0]):
        out[i] = narrowed_by_processor(values[i])


WIDEN = [widen_by_integers, *([widen_by_processor] if IN_HARDWARE else [])]
NARROW = [narrow_by_integers, *([narrow_by_processor] if IN_HARDWARE else [])]


def awkward_floats() -> npt.NDArray[np.float32]:
    """Every float16, what lies halfway between neighbours, the floats beside these, extremes, and random bits."""
    with np.errstate(all="ignore"):
        halves = ALL_HALVES.view(np.float16).astype(np.float32)
        finite = np.sort(halves[np.isfinite(halves)])
        halfway = (finite[1:] + finite[:-1]) / np.float32(2)
        edges = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 65504, 65519.996, 65520, 65536, 3e38, 1e-45, 2**-25])
        exact = np.concatenate([halves, halfway, edges.astype(np.float32)])
        beside = [np.nextafter(exact, np.float32(towards)) for towards in (np.inf, -np.inf)]
        bits = np.random.default_rng(0).integers(0, 1 << 32, 200_000, dtype=np.uint64).astype(np.uint32)
    return np.concatenate([exact, *beside, bits.view(np.float32)])


@pytest.mark.parametrize("widen", WIDEN)
def test_every_float16_becomes_its_float32(widen: Any) -> None:
    out = np.empty(ALL_HALVES.shape[0], np.float32)
    widen(ALL_HALVES, out)
    expected = ALL_HALVES.view(np.float16).astype(np.float32)
    numbers = ~np.isnan(expected)
    np.testing.assert_array_equal(out[numbers].view(np.uint32), expected[numbers].view(np.uint32))
    assert np.isnan(out[~numbers]).all()


@pytest.mark.parametrize("narrow", NARROW)
def test_a_float32_becomes_the_nearest_float16(narrow: Any) -> None:
    values = awkward_floats()
    out = np.empty(values.shape[0], np.uint16)
    narrow(values, out)
    with np.errstate(all="ignore"):
        expected = values.astype(np.float16)
    numbers = ~np.isnan(values)
    np.testing.assert_array_equal(out[numbers], expected[numbers].view(np.uint16))
    assert np.isnan(out[~numbers].view(np.float16)).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_rows_are_read_and_written_whatever_they_are_stored_as(dtype: Any) -> None:
    values = np.array([[0.1, -1e-6, 70000.0], [1 / 3, 5.5, -0.0]], np.float32)
    with np.errstate(over="ignore"):
        expected = values.astype(dtype)
    stored = np.zeros((2, 3), np.uint16 if dtype is np.float16 else np.float32)
    out = np.empty(3, np.float32)
    for row in range(2):
        write_row(stored, row, values[row])
        read_row(stored, row, out)
        np.testing.assert_array_equal(out, expected[row].astype(np.float32))
    assert stored.tobytes() == expected.tobytes()
