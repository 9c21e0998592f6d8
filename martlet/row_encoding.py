"""How the rows of a delta travel: as they are, as float16, or as int8 with a scale for each row. Pure.

What a row becomes on its way depends on that row alone, never on its neighbours: so anyone who has the row can tell
what is served in its place.

int8: `scale` is max |row| / 127, rounded up to float16 where that is finite (so `q * scale` is exact in float32);
`q = round(row / scale)`; served is `q * scale`, at most scale / 2 away. A row that is not finite stays so: its scale is
NaN. float16: to the nearest, ties to even; a row with a value beyond float16 travels exactly.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.floating[Any]]
_LEVELS: Final = 127
_LARGEST_HALF: Final = float(np.finfo(np.float16).max)


class RowEncoding(StrEnum):
    """How rows travel. FLOAT32 stands for "exactly": rows of a float16 table then travel as float16."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"
    INT8 = "int8"

    def is_exact(self, dtype: str) -> bool:
        """Whether rows of a table of this dtype arrive as they are."""
        return self is RowEncoding.FLOAT32 or self.value == dtype


@dataclass(frozen=True, slots=True, eq=False)
class EncodedRows:
    """Rows as they travel.

    Attributes:
        values: float32, float16 or int8 [r, width].
        scales: float16 or float32 [r] of int8 values, else None.
    """

    values: npt.NDArray[np.generic]
    scales: Rows | None = None


def encode_rows(rows: Rows, encoding: RowEncoding) -> EncodedRows:
    """Rows [r, width] of a table (float32 or float16) as they travel."""
    if encoding.is_exact(str(rows.dtype)):
        return EncodedRows(rows)
    return _as_int8(rows) if encoding is RowEncoding.INT8 else EncodedRows(_as_half(rows))


def decode_rows(encoded: EncodedRows, dtype: str) -> Rows:
    """The rows that a table of this dtype serves."""
    if encoded.scales is None:
        return np.asarray(encoded.values, np.dtype(dtype))
    rows: Rows = encoded.values.astype(np.float32) * encoded.scales.astype(np.float32)[:, None]
    if dtype == "float16":  # the scale is rounded up, so the largest value may leave the range by a little
        return np.clip(rows, -_LARGEST_HALF, _LARGEST_HALF).astype(np.float16)
    return rows


def as_served(rows: Rows, encoding: RowEncoding) -> Rows:
    """What is served in the place of rows that travelled so: of their dtype."""
    return decode_rows(encode_rows(rows, encoding), str(rows.dtype))


def _as_half(rows: Rows) -> Rows:
    if np.abs(rows).max(initial=0.0) <= _LARGEST_HALF:
        return rows.astype(np.float16)
    exact = rows.astype(np.float32)
    fits = np.abs(exact).max(axis=1, initial=0.0) <= _LARGEST_HALF
    exact[fits] = exact[fits].astype(np.float16)
    return exact


def _as_int8(rows: Rows) -> EncodedRows:
    scales = _scales(rows)
    divisors = np.where(scales > 0, scales, 1.0).astype(np.float64)  # of a zero row, and of one that is not finite
    known = np.where(np.isfinite(scales)[:, None], rows, 0.0)
    values = np.clip(np.rint(known / divisors[:, None]), -_LEVELS, _LEVELS).astype(np.int8)
    halves = _halves(scales)
    return EncodedRows(values, halves if np.array_equal(halves, scales, equal_nan=True) else scales)


def _scales(rows: Rows) -> Rows:
    """The scale of each row, float32: a float16 number where there is one."""
    largest = np.abs(rows).max(axis=1, initial=0.0).astype(np.float64)
    wanted = np.where(np.isfinite(largest), largest / _LEVELS, np.nan)
    halves = _halves(wanted)
    halves = np.where(halves < wanted, np.nextafter(halves, np.float16(np.inf)), halves)
    whole = np.nextafter(wanted.astype(np.float32), np.float32(np.inf))
    return np.where(np.isinf(halves), whole, halves.astype(np.float32)).astype(np.float32)


def _halves(values: Rows) -> npt.NDArray[np.float16]:
    with np.errstate(over="ignore"):
        return np.asarray(values.astype(np.float16))
