"""Examples as they come out of the joiner: rows of one prediction with their labels, packed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from martlet.learn.labels import Insertion
from martlet.wire.recorded import RecordedPrediction


@dataclass(frozen=True, slots=True)
class LabelledRows:
    """Examples of one prediction. The arrays may be shared: do not write to them.

    Attributes:
        rows: int64[k], item rows of the prediction.
        labels: float32[k].
        judged: these are the rows' first labels, so that they may be evidence too.
        weight: how much each counts in learning.
        insertion: how they come into the stream.
        task: whose labels they are, of a label with several tasks.
        offset: added to each logit in learning (see `trainer_svc.batch.Batch`).
        late: bool[k] or None, at a window's end: whether the row's positive came after it had entered as a negative.
    """

    prediction: RecordedPrediction
    rows: npt.NDArray[np.int64]
    labels: npt.NDArray[np.float32]
    judged: bool
    weight: float = 1.0
    insertion: Insertion = Insertion.PLAIN
    task: int = 0
    offset: float = 0.0
    late: npt.NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        """Number of examples, k."""
        return int(self.rows.shape[0])

    def part(self, start: int, end: int) -> "LabelledRows":
        """The examples from one place up to another."""
        if (start, end) == (0, len(self)):
            return self
        return replace(self, rows=self.rows[start:end], labels=self.labels[start:end])


Examples = Sequence[LabelledRows]


def count(examples: Examples) -> int:
    """How many examples these are."""
    return sum(map(len, examples))


def one_row(prediction: RecordedPrediction, row: int, label: float, *, judged: bool) -> LabelledRows:
    """One example."""
    return LabelledRows(prediction, np.array([row]), np.array([label], np.float32), judged)


def negatives(prediction: RecordedPrediction, labelled: Sequence[int]) -> LabelledRows:
    """All rows without a label, as negative ones."""
    if not labelled:
        return LabelledRows(prediction, *_untouched(prediction.rows), judged=True)
    keep = np.ones(prediction.rows, np.bool_)
    keep[list(labelled)] = False
    rows = np.flatnonzero(keep)
    return LabelledRows(prediction, rows, np.zeros(rows.shape[0], np.float32), judged=True)


def all_rows(prediction: RecordedPrediction, labelled: Sequence[int]) -> LabelledRows:
    """All rows: positive those with a label, the rest negative."""
    rows, labels = _untouched(prediction.rows)
    if labelled:
        labels = labels.copy()
        labels[list(labelled)] = 1.0
    return LabelledRows(prediction, rows, labels, judged=True)


def in_batches(examples: Examples, most: int) -> Iterator[list[LabelledRows]]:
    """The examples in their order, in as few batches of at most `most` as it takes, all of about one size."""
    total = count(examples)
    size = room = -(-total // max(1, -(-total // most)))
    batch: list[LabelledRows] = []
    for group in examples:
        start = 0
        while len(group) - start >= room:
            batch.append(group.part(start, start + room))
            yield batch
            start += room
            batch, room = [], size
        if start < len(group):
            batch.append(group.part(start, len(group)))
            room -= len(group) - start
    if batch:
        yield batch


@lru_cache(maxsize=256)
def _untouched(rows: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    places, labels = np.arange(rows), np.zeros(rows, np.float32)
    places.flags.writeable = labels.flags.writeable = False
    return places, labels
