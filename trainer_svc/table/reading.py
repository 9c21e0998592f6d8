"""Rows are found, read, and their gradients gathered: the compiled loops."""

from typing import Any

import numpy as np
import numpy.typing as npt

from trainer_svc.table.compiling import kernel
from trainer_svc.table.kernels import load, pair_of, slot_of


@kernel
def find(keys: npt.NDArray[np.int64], wanted: npt.NDArray[np.int64], out: npt.NDArray[np.int64]) -> None:
    """Slots of many keys, -1 where absent."""
    for i in range(wanted.shape[0]):
        first, second = pair_of(wanted[i], keys.shape[0])
        out[i] = slot_of(keys, first, second, wanted[i])


@kernel
def gather(rows: npt.NDArray[Any], index: npt.NDArray[np.int64], out: npt.NDArray[np.float32]) -> None:
    """Copies rows, as float32."""
    for i in range(index.shape[0]):
        for column in range(rows.shape[1]):
            out[i, column] = load(rows, index[i], column)


@kernel
def sum_by_row(
    index: npt.NDArray[np.int64],
    gradients: npt.NDArray[np.float32],
    groups: npt.NDArray[np.int32],
    members: npt.NDArray[np.int64],
    sums: npt.NDArray[np.float32],
) -> int:
    """Sums the gradients of each row in the order in which they came; returns how many different rows there are.

    `groups` is scratch of one number for each row of the table, zero before and after. `members` receives the rows in
    order of appearance, `sums` their sums.
    """
    count = 0
    for i in range(index.shape[0]):
        row = index[i]
        group = groups[row] - 1
        if group < 0:
            group = count
            count += 1
            groups[row] = count
            members[group] = row
            for column in range(gradients.shape[1]):
                sums[group, column] = gradients[i, column]
        else:
            for column in range(gradients.shape[1]):
                sums[group, column] += gradients[i, column]
    for group in range(count):
        groups[members[group]] = 0
    return count
