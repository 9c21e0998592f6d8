"""What the training state asks of its neighbours: the learner and its tables, the graph, dead letters, preparation."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from martlet.feature_encoding import ItemId
from martlet.feature_spec import FeatureBlock
from martlet.table_blobs import TableBase
from trainer_svc.batch import Batch
from trainer_svc.delta_tracker import Touched
from trainer_svc.joiner import DeadLetter
from trainer_svc.labelled_rows import Examples
from trainer_svc.learner_figures import LearnerFigures
from trainer_svc.table.cut import TableCut

Arrays = dict[str, npt.NDArray[np.generic]]
Floats = npt.NDArray[np.float32]


class TrackerPort(Protocol):
    """What is asked of a delta tracker."""

    def take(self) -> Touched:
        """Everything that is not acknowledged."""
        ...

    def acknowledge(self) -> None:
        """What was taken has arrived."""
        ...

    def take_unsaved(self) -> npt.NDArray[np.int32]:
        """The buckets that no finished checkpoint holds as they are, ascending; a checkpoint of them begins."""
        ...

    def saved(self) -> None:
        """That checkpoint is durable."""
        ...

    def unsaved_failed(self) -> None:
        """That checkpoint is not to be had."""
        ...


class TablePort(Protocol):
    """What is asked of an embedding table."""

    name: str
    width: int

    @property
    def tracker(self) -> TrackerPort:
        """Its changed buckets."""
        ...

    def base(self) -> TableBase:
        """A copy of all of it."""
        ...

    @property
    def rows(self) -> npt.NDArray[Any]:
        """Its rows by slot, the special ones behind them; may be written."""
        ...

    def changed(self, touched: Touched) -> TableCut:
        """Copies of the slots that changed, and of the special rows."""
        ...


class LearnerPort(Protocol):
    """What is asked of a learner. The same calls give the same bits."""

    @property
    def tables(self) -> Mapping[str, TablePort]:
        """Its embedding tables, in the model's order."""
        ...

    @property
    def generation(self) -> int:
        """Grows when a table grew."""
        ...

    def predict(self, block: FeatureBlock) -> Floats:
        """Logits; changes nothing."""
        ...

    def learn(self, batch: Batch, now_us: int) -> float:
        """One step; gives the loss before it."""
        ...

    def test_and_learn(self, batch: Batch, now_us: int) -> Floats:
        """The logits that `predict` gives for the batch, and then the step that `learn` takes."""
        ...

    def forget(self, user_id: ItemId) -> int:
        """Frees the rows of a user; returns how many."""
        ...

    def evict(self, now_us: int) -> int:
        """Frees rows that were not used for long."""
        ...

    def figures(self) -> LearnerFigures:
        """What it and its tables have counted."""
        ...

    def dense_weights(self) -> Mapping[str, Floats]:
        """Copies of the dense weights."""
        ...

    def state(self) -> Arrays:
        """Everything that learning depends on (not copies); the arrays of table T under `rows/T/`."""
        ...

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Takes a state over."""
        ...


class GraphPort(Protocol):
    """Gives the ONNX graph for the learner's tables as large as they are now."""

    def __call__(self) -> bytes:
        """The graph's bytes."""
        ...


class LetterPort(Protocol):
    """Takes dead letters, once for each step."""

    def write(self, step: int, letters: Sequence[DeadLetter]) -> None:
        """Returns once they are on disk."""
        ...


class ExamplePreparation(Protocol):
    """What happens to examples between their test and their learning, such as augmentation.

    It goes back with the learner when learning goes back to a version, so its state may hold what examples taught it.
    """

    def prepare(self, examples: Examples, taken: int, /) -> Examples:
        """The examples to learn; the same ones if nothing changes.

        A function of its arguments and of the state alone, for it is called again with the same ones after a restart.
        `taken`: examples that were taken before these, never fewer than before.
        """
        ...

    def state(self) -> Arrays:
        """All that later examples' preparation depends on (not copies)."""
        ...

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]], /) -> None:
        """Takes a state over, bit for bit; an empty one is that of the beginning."""
        ...


class AsTheyAre:
    """Changes nothing."""

    def prepare(self, examples: Examples, _taken: int, /) -> Examples:
        """The same examples."""
        return examples

    def state(self) -> Arrays:
        """There is none."""
        return {}

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]], /) -> None:
        """Nothing to do."""


Preparing = Callable[[], ExamplePreparation]
