"""A larger table is filled beside the one in use, and taken over some steps later.

When it begins, how many buckets it has and at which step it is taken over follow from the table alone, and so does
every bit of it: the helper places the keys that were held at the beginning, and what changed since is carried over at
the take-over. How fast the helper is decides only how long the take-over waits.
"""

from collections.abc import Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from martlet.table_layout import MAX_BUCKETS, SLOTS
from trainer_svc.delta_tracker import DeltaTracker
from trainer_svc.table.carrying import carry_over, copy_all, place_all
from trainer_svc.table.columns import Columns
from trainer_svc.table.memory import zeros

MAX_LOAD: Final = 0.96  # a key more is refused; up to here the search for a place nearly always succeeds
GROW_LOAD: Final = 0.93  # a larger table is begun
FIRST_LOAD: Final = 0.85  # of a table made for a known number of rows

_LEAST_STEPS: Final = 2
_ROWS_A_STEP: Final = 50_000  # fewer than a helper places while a batch is learned
_DOUBLING_BUCKETS: Final = 1 << 18
_FACTOR: Final = 1.35


def buckets_for(rows: int) -> int:
    """How many buckets a table needs for a known number of rows, with some room left."""
    return max(4, int(rows / (SLOTS * FIRST_LOAD)) + 1)


def next_size(buckets: int) -> int:
    """How many buckets come next: twice as many, in a large table a third more, so that memory follows what is held.

    >>> next_size(1000), next_size(1000000)
    (2000, 1350000)
    """
    return min(MAX_BUCKETS, 2 * buckets if buckets < _DOUBLING_BUCKETS else int(buckets * _FACTOR))


def steps_for(rows: int) -> int:
    """How many steps a growth is given."""
    return _LEAST_STEPS + rows // _ROWS_A_STEP


@dataclass(slots=True)
class Growth:
    """A growth under way.

    Attributes:
        keys: int64[n, 4], what the smaller table held when it began (a copy).
        larger: being filled.
        steps_left: until it is taken over.
    """

    keys: npt.NDArray[np.int64]
    larger: Columns
    steps_left: int
    _filled: "Future[bool] | None" = field(default=None)

    def fill(self, smaller: Columns, helper: Executor | None) -> None:
        """Fills the larger table, in the helper if there is one: the smaller may change meanwhile."""
        if helper is None:
            self._filled = Future()
            self._filled.set_result(self._fill(smaller))
        else:
            self._filled = helper.submit(self._fill, smaller)

    def finish(self, smaller: Columns, tracker: DeltaTracker) -> Columns | None:
        """Waits, then brings the larger table up to date; None when something found no place in it."""
        if self._filled is None or not self._filled.result():
            return None
        whole = carry_over(smaller, self.keys, tracker.since_growth_began(), self.larger)
        return self.larger if whole else None

    def _fill(self, smaller: Columns) -> bool:
        if not place_all(self.keys, smaller.empties, self.larger):
            return False
        copy_all(smaller, self.keys, self.larger)
        return True


def copy_of(keys: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """A copy in a map of its own."""
    copy = zeros(keys.shape, np.int64)
    np.copyto(copy, keys)
    return copy


def growth_state(growth: Growth | None, tracker: DeltaTracker) -> dict[str, npt.NDArray[np.generic]]:
    """What a growth under way depends on beside the table: its size, its steps, and the keys that changed since."""
    if growth is None:
        return {
            "growth": np.zeros(2, np.int64),
            "growth_buckets": np.empty(0, np.int32),
            "growth_keys": np.empty((0, SLOTS), np.int64),
        }
    changed = tracker.since_growth_began()
    return {
        "growth": np.array([growth.larger.keys.shape[0], growth.steps_left], np.int64),
        "growth_buckets": changed,
        "growth_keys": growth.keys[changed],
    }


def restored_growth(
    state: Mapping[str, npt.NDArray[np.generic]], keys: npt.NDArray[np.int64], larger: Columns, tracker: DeltaTracker
) -> Growth:
    """The growth that a state holds, to be filled again from the keys that were held when it began."""
    _, steps_left = np.asarray(state["growth"], np.int64).tolist()
    changed = np.asarray(state["growth_buckets"], np.int32)
    held = copy_of(keys)
    held[changed] = state["growth_keys"]
    tracker.growth_resumed(changed)
    return Growth(held, larger, steps_left)
