"""Is this the state of such a table? Shapes and dtypes are checked before anything is taken over."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from martlet.errors import Corrupt
from martlet.table_layout import MIN_BUCKETS, SLOTS
from trainer_svc.table.columns import RowType
from trainer_svc.table.statistics import COLUMNS

State = Mapping[str, npt.NDArray[np.generic]]


class TableShape(NamedTuple):
    """What is fixed in a table, whatever its size."""

    name: str
    width: int
    specials: int
    optimizer_columns: int
    dtype: RowType


def check_state(shape: TableShape, state: State) -> None:
    """Raises Corrupt with the array's name when a state does not fit."""
    buckets = int(state["keys"].shape[0]) if "keys" in state and state["keys"].ndim else 0
    expected = _arrays(shape, buckets)
    odd = sorted(state.keys() ^ expected.keys())
    if odd:
        raise Corrupt(f"not a state of table {shape.name}: {', '.join(odd)} stand in one only")
    for name, (dtype, lengths) in expected.items():
        array = state[name]
        fits = array.ndim == len(lengths) and all(
            want in (None, have) for want, have in zip(lengths, array.shape, strict=True)
        )
        if array.dtype != np.dtype(dtype) or not fits:
            raise Corrupt(
                f"{name} of table {shape.name} is {array.dtype}{list(array.shape)}, not {dtype}{list(lengths)}"
            )
    if buckets < MIN_BUCKETS:
        raise Corrupt(f"keys of table {shape.name} are of {buckets} buckets; it has at least {MIN_BUCKETS}")
    _check_growth(shape, state, buckets)


def _check_growth(shape: TableShape, state: State, buckets: int) -> None:
    numbers, target = state["growth_buckets"], int(np.asarray(state["growth"], np.int64)[0])
    inside = not numbers.size or 0 <= int(numbers.min()) <= int(numbers.max()) < buckets
    if numbers.shape[0] != state["growth_keys"].shape[0] or not inside or (target and target <= buckets):
        raise Corrupt(f"growth of table {shape.name} does not fit its {buckets} buckets")


def _arrays(shape: TableShape, buckets: int) -> dict[str, tuple[str, tuple[int | None, ...]]]:
    """By name: dtype, and lengths of which None may be any."""
    rows = buckets * SLOTS + shape.specials
    return {
        "keys": ("int64", (buckets, SLOTS)),
        "rows": (shape.dtype, (rows, shape.width)),
        "optimizer": ("float32", (rows, shape.optimizer_columns)),
        "spaces": ("uint16", (buckets, SLOTS)),
        "last_used": ("uint32", (buckets, SLOTS)),
        "marks": ("uint16", (buckets,)),
        "counts": ("int64", (2,)),
        "counters": ("int64", (None, COLUMNS)),
        "growth": ("int64", (2,)),
        "growth_buckets": ("int32", (None,)),
        "growth_keys": ("int64", (None, SLOTS)),
    }
