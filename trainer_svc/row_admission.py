"""Which unknown ids get a row: those of a space with `min_count` only after they occurred so often.

Occurrences are counted in a count-min sketch of fixed size (Cormode, Muthukrishnan 2005), updated conservatively (only
the smallest of a key's counters grow: Estan, Varghese 2002), that forgets by halving. So an id may get its row a little
early, and one that occurs very rarely may never get one. Deterministic.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from trainer_svc.table.compiling import kernel
from trainer_svc.table.kernels import pair_of

COUNTERS: Final = 1 << 20
MAX_COUNT: Final = (1 << 16) - 1

Counts = npt.NDArray[np.uint16]


class RowAdmission:
    """Counts occurrences of ids that have no row.

    Args:
        min_counts: by the number of the key space.
    """

    def __init__(self, min_counts: Sequence[int], counters: int = COUNTERS) -> None:
        self._min_counts = np.array(min_counts, np.int64)
        self._needed = bool((self._min_counts > 1).any())
        self._counts: Counts = np.zeros((2, counters if self._needed else 0), np.uint16)
        # Halving at this load keeps the share of ids admitted early below about 5 %.
        self._forget_after = max(counters // 4, 1)
        self._added = 0

    def admit(self, keys: npt.NDArray[np.int64], spaces: npt.NDArray[np.uint16]) -> npt.NDArray[np.bool_]:
        """Counts these occurrences; says for each whether its id has now occurred often enough."""
        wanted = self._min_counts[spaces]
        admitted = wanted <= 1
        counted = np.flatnonzero(~admitted)
        if counted.shape[0]:
            admitted[counted] = self._count(keys[counted]) >= wanted[counted]
        return admitted

    def state(self) -> dict[str, npt.NDArray[np.generic]]:
        """The counters (not copies)."""
        return {"counts": self._counts, "added": np.array(self._added, np.int64)}

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Takes a state over (copies)."""
        self._counts = np.array(state["counts"], np.uint16)
        self._added = int(np.asarray(state["added"], np.int64))

    def _count(self, keys: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        self._added += keys.shape[0]
        if self._added > self._forget_after:
            self._counts >>= 1
            self._added = keys.shape[0]
        least = np.empty(keys.shape[0], np.int64)
        count(self._counts, np.ascontiguousarray(keys), least)
        return least


@kernel
def count(counts: Counts, keys: npt.NDArray[np.int64], least: npt.NDArray[np.int64]) -> None:
    """Counts keys in both rows, uint16[2, counters]; `least` receives how often each has occurred by now, at most.

    All occurrences of a batch are counted first: ids of one batch do not depend on their order.
    """
    for key in keys:
        first, second = pair_of(key, counts.shape[1])
        more = min(counts[0, first], counts[1, second], MAX_COUNT - 1) + 1
        counts[0, first] = max(counts[0, first], more)
        counts[1, second] = max(counts[1, second], more)
    for i in range(keys.shape[0]):
        first, second = pair_of(keys[i], counts.shape[1])
        least[i] = min(counts[0, first], counts[1, second])
