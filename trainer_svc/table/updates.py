"""Row rules: what an optimizer does to the rows that a batch touched."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from martlet.table_layout import SLOTS
from trainer_svc.delta_tracker import DeltaTracker
from trainer_svc.table.columns import Columns
from trainer_svc.table.compiling import kernel
from trainer_svc.table.kernels import load, mark_row, store


@dataclass(frozen=True, slots=True)
class RowWiseAdaGradStep:
    """AdaGrad with one accumulator a row (optimizer column 0): of the mean square of the row's gradient."""

    rate: float
    epsilon: float
    l2: float = 0.0

    def __call__(
        self,
        columns: Columns,
        tracker: DeltaTracker,
        members: npt.NDArray[np.int64],
        sums: npt.NDArray[np.float32],
    ) -> None:
        """One step on distinct rows, int64[m], by their summed gradients, float32[m, width], which are overwritten."""
        row_wise_adagrad(columns, tracker.marks, tracker.unsaved, members, sums, self.rate, self.epsilon, self.l2)


@kernel
def row_wise_adagrad(
    columns: Columns,
    marks: npt.NDArray[np.uint16],
    unsaved: npt.NDArray[np.uint8],
    members: npt.NDArray[np.int64],
    sums: npt.NDArray[np.float32],
    rate: float,
    epsilon: float,
    l2: float,
) -> None:
    """The loop. The zero row, first behind the slots, stays."""
    slots, width = columns.keys.shape[0] * SLOTS, columns.rows.shape[1]
    for i in range(members.shape[0]):
        row = members[i]
        if row == slots:
            continue
        square = np.float32(0.0)
        for column in range(width):
            sums[i, column] += np.float32(l2) * load(columns.rows, row, column)
            square += sums[i, column] * sums[i, column]
        columns.optimizer[row, 0] += square / np.float32(width)
        step = np.float32(rate) / (np.sqrt(columns.optimizer[row, 0]) + np.float32(epsilon))
        for column in range(width):
            store(columns.rows, row, column, load(columns.rows, row, column) - step * sums[i, column])
        mark_row(marks, unsaved, row)
