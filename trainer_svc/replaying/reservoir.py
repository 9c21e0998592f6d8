"""A sample of all examples that ever came, of fixed size, fixed by a hash: the same stream gives the same sample.

Algorithm R (J. Vitter, Random sampling with a reservoir, ACM TOMS 11, 1985): the i-th example takes a random one of i
places, if that is one of the reservoir's. With a horizon h it takes a random one of min(i, h) places: older examples
fade, about h examples after they came (a biased reservoir: C. Aggarwal, On biased reservoir sampling, VLDB 2006).
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from martlet.feature_spec import FeatureLayout
from trainer_svc.batch import Batch
from trainer_svc.replaying.draws import uniforms
from trainer_svc.replaying.stored_examples import Arrays, Origins, StoredExamples

_DRAWING = 0x64726177  # apart from the sequence that says who stays


class Reservoir:
    """See the module's docstring. Not thread-safe.

    Args:
        capacity: examples kept.
        horizon: 0: all examples that ever came have the same chance.
    """

    def __init__(self, layout: FeatureLayout, capacity: int, horizon: int, seed: int) -> None:
        self._stored = StoredExamples(layout, capacity)
        self._horizon = horizon
        self._seed = seed
        self._seen = 0
        self._drawn = 0

    def __len__(self) -> int:
        """Examples kept."""
        return len(self._stored)

    @property
    def stored(self) -> StoredExamples:
        """The examples kept."""
        return self._stored

    def add(self, batch: Batch, origins: Origins, rows: npt.NDArray[np.int64]) -> None:
        """Offers some rows of a batch to the reservoir, in their order."""
        n, stored = rows.shape[0], self._stored
        first = min(n, stored.capacity - len(stored))
        numbers = np.arange(self._seen + 1, self._seen + n + 1)
        places = uniforms(self._seed, self._seen, n) * (
            np.minimum(numbers, self._horizon) if self._horizon else numbers
        )
        slots = places.astype(np.int64)
        slots[:first] = len(stored) + np.arange(first)
        taken = np.flatnonzero(slots < stored.capacity)
        stored.put(slots[taken], batch, origins, rows[taken])
        self._seen += n

    def draw(self, count: int) -> tuple[Batch, Origins]:
        """Some of the examples kept (copies), with repetition; none if none are kept."""
        count = count if len(self._stored) else 0
        chosen = uniforms(self._seed ^ _DRAWING, self._drawn, count) * len(self._stored)
        self._drawn += count
        return self._stored.take(chosen.astype(np.int64))

    def forget(self, user: int) -> None:
        """Drops a user's examples."""
        self._stored.forget(user)

    def clear(self) -> None:
        """Begins anew: what came before is no part of the sample."""
        self._stored.clear()
        self._seen = 0

    def state(self) -> Arrays:
        """Examples and counts (not copies)."""
        return self._stored.state() | {"counts": np.array([self._seen, self._drawn], np.int64)}

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Takes a state over (copies)."""
        self._stored.restore(state)
        self._seen, self._drawn = (int(count) for count in np.asarray(state["counts"], np.int64))
