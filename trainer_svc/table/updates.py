"""How rows learn: the row rules of `martlet.learn`, compiled, over plain arrays.

Each rule is one loop over distinct rows: read the row, step, write it back. Clipping and regularisation come before, in
a pass of their own that most models do not need. The formulas stand with the settings (`martlet.learn.optimizers`);
arithmetic is float32, in the columns' order. A row's step depends on nothing but the row, its state and its gradient:
rows may be shared out among threads in any way without another bit.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from martlet.learn.optimizers import (
    ClipNorm,
    ClipValue,
    LazyAdam,
    RowAdaGrad,
    RowFTRL,
    RowMomentum,
    RowRMSProp,
    Rows,
    RowSGD,
    RowWiseAdaGrad,
)
from martlet.table_layout import SLOTS
from trainer_svc.delta_tracker import DeltaTracker
from trainer_svc.table.columns import Columns
from trainer_svc.table.compiling import kernel
from trainer_svc.table.kernels import mark_row, read_row, write_row
from trainer_svc.table.prefetching import prefetch

Floats = npt.NDArray[np.float32]
Int64s = npt.NDArray[np.int64]
_AHEAD: Final = 16


class RowStep(NamedTuple):
    """A rule's numbers for one step, as the compiled loops take them.

    Attributes:
        rate: the rate of this step.
        decay: momentum, RMSProp's decay, Adam's beta1 or FTRL's beta.
        beta1: Adam's, like beta2 in full precision: powers are taken of them.
        nesterov: 1 or 0.
        largest: what a component is clipped to; infinite: it is not.
        longest: what a row's norm is clipped to; infinite: it is not.
    """

    rate: np.float32
    decay: np.float32
    beta1: float
    beta2: float
    nesterov: np.float32
    epsilon: np.float32
    l1: np.float32
    l2: np.float32
    largest: np.float32
    longest: np.float32


@kernel
def clip(sums: Floats, step: RowStep) -> None:
    """Clips the gradient of each row by value, then by its norm."""
    for i in range(sums.shape[0]):
        square = np.float32(0.0)
        for column in range(sums.shape[1]):
            component = min(max(sums[i, column], -step.largest), step.largest)
            sums[i, column] = component
            square += component * component
        if square > step.longest * step.longest:
            shrink = step.longest / np.sqrt(square)
            for column in range(sums.shape[1]):
                sums[i, column] *= shrink


@kernel
def regularise(rows: npt.NDArray[Any], members: Int64s, sums: Floats, step: RowStep) -> None:
    """Adds l2 · w and l1 · sign(w) to the gradient of each row."""
    weights = np.empty(sums.shape[1], np.float32)
    for i in range(members.shape[0]):
        read_row(rows, members[i], weights)
        for column in range(weights.shape[0]):
            sums[i, column] += step.l2 * weights[column] + step.l1 * np.sign(weights[column])


@kernel
def ask_ahead(rows: npt.NDArray[Any], state: Floats, members: Int64s, i: int) -> None:
    """Asks for a row and its state some steps before its turn."""
    if i + _AHEAD < members.shape[0]:
        prefetch(rows, members[i + _AHEAD])
        prefetch(state, members[i + _AHEAD])


@kernel
def sgd(rows: npt.NDArray[Any], state: Floats, members: Int64s, sums: Floats, step: RowStep) -> None:
    """Keeps no state."""
    weights = np.empty(sums.shape[1], np.float32)
    for i in range(members.shape[0]):
        ask_ahead(rows, state, members, i)
        read_row(rows, members[i], weights)
        for column in range(weights.shape[0]):
            weights[column] -= step.rate * sums[i, column]
        write_row(rows, members[i], weights)


@kernel
def momentum(rows: npt.NDArray[Any], state: Floats, members: Int64s, sums: Floats, step: RowStep) -> None:
    """State: the velocity."""
    weights = np.empty(sums.shape[1], np.float32)
    ahead, plain = step.nesterov, np.float32(1.0) - step.nesterov
    for i in range(members.shape[0]):
        ask_ahead(rows, state, members, i)
        row = members[i]
        read_row(rows, row, weights)
        for column in range(weights.shape[0]):
            velocity = step.decay * state[row, column] + sums[i, column]
            state[row, column] = velocity
            moved = plain * velocity + ahead * (sums[i, column] + step.decay * velocity)
            weights[column] -= step.rate * moved
        write_row(rows, row, weights)


@kernel
def adagrad(rows: npt.NDArray[Any], state: Floats, members: Int64s, sums: Floats, step: RowStep) -> None:
    """State: the sums of squares."""
    weights = np.empty(sums.shape[1], np.float32)
    for i in range(members.shape[0]):
        ask_ahead(rows, state, members, i)
        row = members[i]
        read_row(rows, row, weights)
        for column in range(weights.shape[0]):
            square = state[row, column] + sums[i, column] * sums[i, column]
            state[row, column] = square
            weights[column] -= step.rate * sums[i, column] / (np.sqrt(square) + step.epsilon)
        write_row(rows, row, weights)


@kernel
def row_wise_adagrad(rows: npt.NDArray[Any], state: Floats, members: Int64s, sums: Floats, step: RowStep) -> None:
    """State: one sum of mean squares."""
    weights = np.empty(sums.shape[1], np.float32)
    for i in range(members.shape[0]):
        ask_ahead(rows, state, members, i)
        row = members[i]
        read_row(rows, row, weights)
        square = np.float32(0.0)
        for column in range(weights.shape[0]):
            square += sums[i, column] * sums[i, column]
        state[row, 0] += square / np.float32(weights.shape[0])
        length = step.rate / (np.sqrt(state[row, 0]) + step.epsilon)
        for column in range(weights.shape[0]):
            weights[column] -= length * sums[i, column]
        write_row(rows, row, weights)


@kernel
def rmsprop(rows: npt.NDArray[Any], state: Floats, members: Int64s, sums: Floats, step: RowStep) -> None:
    """State: the mean squares."""
    weights = np.empty(sums.shape[1], np.float32)
    rest = np.float32(1.0) - step.decay
    for i in range(members.shape[0]):
        ask_ahead(rows, state, members, i)
        row = members[i]
        read_row(rows, row, weights)
        for column in range(weights.shape[0]):
            square = step.decay * state[row, column] + rest * sums[i, column] * sums[i, column]
            state[row, column] = square
            weights[column] -= step.rate * sums[i, column] / (np.sqrt(square) + step.epsilon)
        write_row(rows, row, weights)


@kernel
def lazy_adam(rows: npt.NDArray[Any], state: Floats, members: Int64s, sums: Floats, step: RowStep) -> None:
    """State: the means, the mean squares, and the row's own count (it stops at 2²⁴; the corrections are 1 by then)."""
    width, one = sums.shape[1], np.float32(1.0)
    beta1, beta2 = np.float32(step.beta1), np.float32(step.beta2)
    rest1, rest2 = np.float32(1.0 - step.beta1), np.float32(1.0 - step.beta2)
    weights = np.empty(width, np.float32)
    for i in range(members.shape[0]):
        ask_ahead(rows, state, members, i)
        row = members[i]
        read_row(rows, row, weights)
        state[row, 2 * width] += one
        t = float(state[row, 2 * width])
        mean_known, square_known = np.float32(1.0 - step.beta1**t), np.float32(1.0 - step.beta2**t)
        for column in range(width):
            g = sums[i, column]
            mean = beta1 * state[row, column] + rest1 * g
            square = beta2 * state[row, width + column] + rest2 * g * g
            state[row, column] = mean
            state[row, width + column] = square
            weights[column] -= step.rate * (mean / mean_known) / (np.sqrt(square / square_known) + step.epsilon)
        write_row(rows, row, weights)


@kernel
def ftrl(rows: npt.NDArray[Any], state: Floats, members: Int64s, sums: Floats, step: RowStep) -> None:
    """State: z, then n. A weight without a gradient so far has n = 0, and a z that stands for where it is."""
    width = sums.shape[1]
    weights = np.empty(width, np.float32)
    for i in range(members.shape[0]):
        ask_ahead(rows, state, members, i)
        row = members[i]
        read_row(rows, row, weights)
        for column in range(width):
            weights[column], state[row, column], state[row, width + column] = ftrl_step(
                weights[column], state[row, column], state[row, width + column], sums[i, column], step
            )
        write_row(rows, row, weights)


@kernel
def ftrl_step(
    weight: np.float32, z: np.float32, n: np.float32, gradient: np.float32, step: RowStep
) -> tuple[np.float32, np.float32, np.float32]:
    """The next weight, z and n. Without branches, so that it runs in vectors."""
    zero = np.float32(0.0)
    learned = n + gradient * gradient
    root = np.sqrt(learned)
    begun = z if n > zero else -weight * (step.decay / step.rate + step.l2)
    moved = begun + gradient - (root - np.sqrt(n)) / step.rate * weight
    beyond = max(moved - step.l1, zero) + min(moved + step.l1, zero)
    placed = -beyond / ((step.decay + root) / step.rate + step.l2)
    return placed if learned > zero else weight, moved, learned


@kernel
def without(members: Int64s, sums: Floats, row: int) -> int:
    """Moves a row behind the others if it is among them; returns how many others there are."""
    last: int = members.shape[0] - 1
    for i in range(members.shape[0]):
        if members[i] == row:
            members[i] = members[last]
            sums[i] = sums[last]
            return last
    return last + 1


@kernel
def mark_rows(marks: npt.NDArray[np.uint16], unsaved: npt.NDArray[np.uint8], members: Int64s) -> None:
    """These rows changed."""
    for i in range(members.shape[0]):
        mark_row(marks, unsaved, members[i])


_KERNELS: Final[dict[type, Callable[[npt.NDArray[Any], Floats, Int64s, Floats, RowStep], None]]] = {
    RowSGD: sgd,
    RowMomentum: momentum,
    RowAdaGrad: adagrad,
    RowWiseAdaGrad: row_wise_adagrad,
    RowRMSProp: rmsprop,
    LazyAdam: lazy_adam,
    RowFTRL: ftrl,
}


class RowUpdate:
    """A rule at the rate of one step: what `EmbeddingTable.update` applies to the rows that a batch touched.

    Thread-safe on distinct rows of distinct buckets; does not hold the interpreter's lock.
    """

    def __init__(self, settings: Rows, rate: float) -> None:
        self._step = row_step(settings, rate)
        self._clips = settings.clip is not None
        self._regularises = (settings.l1 > 0 or settings.l2 > 0) and not isinstance(settings, RowFTRL)
        self._kernel = _KERNELS[type(settings)]

    def __call__(self, columns: Columns, tracker: DeltaTracker, members: Int64s, sums: Floats) -> None:
        """Moves distinct rows, int64[m], by their summed gradients, float32[m, width], and marks them.

        Both arrays are used up. The zero row, first behind the slots, stays.
        """
        count = without(members, sums, columns.keys.shape[0] * SLOTS)
        members, sums = members[:count], sums[:count]
        self.move(columns.rows, columns.optimizer, members, sums)
        mark_rows(tracker.marks, tracker.unsaved, members)

    def move(self, rows: npt.NDArray[Any], state: Floats, members: Int64s, sums: Floats) -> None:
        """The step on plain arrays.

        Args:
            rows: float32[R, width], or a float16's bits as uint16.
            state: float32[R, columns], as many as the settings' `columns` say.
            members: int64[m], distinct rows in [0, R): the caller's duty, as with all kernels.
            sums: float32[m, width], the gradient of each; used up.
        """
        if self._clips:
            clip(sums, self._step)
        if self._regularises:
            regularise(rows, members, sums, self._step)
        self._kernel(rows, state, members, sums, self._step)


def row_step(settings: Rows, rate: float) -> RowStep:
    """The numbers of a rule at this rate."""
    clipping = settings.clip
    adam = settings if isinstance(settings, LazyAdam) else LazyAdam()
    return RowStep(
        rate=np.float32(rate),
        decay=np.float32(_decay(settings)),
        beta1=adam.beta1,
        beta2=adam.beta2,
        nesterov=np.float32(isinstance(settings, RowMomentum) and settings.nesterov),
        epsilon=np.float32(getattr(settings, "epsilon", 0.0)),
        l1=np.float32(settings.l1),
        l2=np.float32(settings.l2),
        largest=np.float32(clipping.limit if isinstance(clipping, ClipValue) else np.inf),
        longest=np.float32(clipping.limit if isinstance(clipping, ClipNorm) else np.inf),
    )


def _decay(settings: Rows) -> float:
    match settings:
        case RowMomentum():
            return settings.momentum
        case RowRMSProp():
            return settings.decay
        case RowFTRL():
            return settings.beta
        case _:
            return 0.0
