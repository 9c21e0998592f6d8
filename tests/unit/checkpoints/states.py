"""A state with a table in it, as a trainer's is, and what happens to it."""

import random

import numpy as np

from martlet.learn.optimizers import RowWiseAdaGrad
from trainer_svc.checkpoints.state import Arrays, Checkpoint, StateChange, changed_since
from trainer_svc.table.embedding_table import EmbeddingTable
from trainer_svc.table.updates import RowUpdate

PREFIX = "learner/rows/t/"
NEVER_MIND = np.zeros(0, np.float32)


class Model:
    """A table, and a few small arrays, changed at random; `take` is what a loop does for a checkpoint."""

    def __init__(self, seed: int, buckets: int = 64, dtype: str = "float32") -> None:
        self._dice = random.Random(seed)
        self.table = EmbeddingTable("t", 3, buckets, 2, dtype=dtype)  # type: ignore[arg-type]
        self.step = 0

    def change(self, keys: int = 4) -> None:
        """Inserts, updates, looks up, evicts, publishes."""
        self.step += 1
        own = np.array([self._dice.randrange(200) for _ in range(keys)], np.int64)
        zeros = np.zeros(keys, np.int64)
        rows = self.table.upsert(own, zeros.astype(np.uint16), zeros + 1, self.step)
        if self._dice.random() < 0.8:
            gradients = np.full((keys, 3), self._dice.uniform(-1, 1), np.float32)
            self.table.update(rows, gradients, RowUpdate(RowWiseAdaGrad(epsilon=1e-6), 0.1))
        if self._dice.random() < 0.1:
            self.table.evict(0, self.step - 20)
        if self._dice.random() < 0.2:
            self.table.tracker.take()
        if self._dice.random() < 0.2:
            self.table.tracker.acknowledge()

    def state(self) -> Arrays:
        """All of it, not copies."""
        small = {f"intake/seen/{self.step // 7}": np.arange(self.step), "progress/": np.array(self.step)}
        return small | {PREFIX + name: array for name, array in self.table.state().items()}

    def checkpoint(self) -> Checkpoint:
        """The whole of it."""
        self.table.tracker.take_unsaved()
        return Checkpoint(10 * self.step, self.step, {name: np.array(array) for name, array in self.state().items()})

    def take(self) -> StateChange:
        """What changed."""
        return changed_since(self.state(), {PREFIX: self.table.tracker.take_unsaved()}, 10 * self.step, self.step)


def alike(left: Arrays, right: Arrays) -> bool:
    """Bit for bit, types and shapes included."""
    return left.keys() == right.keys() and all(
        (left[name].dtype, left[name].shape, left[name].tobytes())
        == (right[name].dtype, right[name].shape, right[name].tobytes())
        for name in left
    )
