"""What is evaluated: answered requests and their items as columns, with what each version said and what came of it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from martlet.events import Arm

SERVED: Final = "served"
HEAD: Final = "head"
_ODD: Final = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True)
class Scores:
    """What one version gave: int64[m] rows, ascending, and float32[m] logits."""

    rows: npt.NDArray[np.int64]
    logits: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class FeatureColumn:
    """A feature's values, one for each row: ids are int64[n], numbers and the lengths of lists float32[n]."""

    values: npt.NDArray[Any]  # of the one or the other dtype

    @property
    def is_number(self) -> bool:
        """Whether values are told apart by size."""
        return bool(self.values.dtype == np.float32)


@dataclass(frozen=True, slots=True)
class Answers:
    """p answers of n items in all; an answer's rows stand together, in the order answered.

    Attributes:
        times_us: int64[p], event time.
        users: uint64[p], whose answer it is (`RecordedPrediction.user_key`): what is resampled.
        versions: int64[p], the version that answered.
        arms: int8[p], as in `martlet.events.Arm`.
        mature: bool[p], the attribution window is over: what has no outcome by now has none.
        starts: int64[p + 1], the first row of each answer, and n.
        labels: float32[n]; NaN: none came.
        items: uint64[n], a hash of each item's id.
        propensities: float32[n]; NaN: none is recorded.
        served: float32[n], the logits of the versions that answered.
        head: float32[n], the logits of the live lane's head; of the answering version where that is not recorded.
        scores: what each version gave, by its number.
        features: columns by the input's name; only those that were asked for.
    """

    times_us: npt.NDArray[np.int64]
    users: npt.NDArray[np.uint64]
    versions: npt.NDArray[np.int64]
    arms: npt.NDArray[np.int8]
    mature: npt.NDArray[np.bool_]
    starts: npt.NDArray[np.int64]
    labels: npt.NDArray[np.float32]
    items: npt.NDArray[np.uint64]
    propensities: npt.NDArray[np.float32]
    served: npt.NDArray[np.float32]
    head: npt.NDArray[np.float32]
    scores: Mapping[int, Scores]
    features: Mapping[str, FeatureColumn]

    def __len__(self) -> int:
        """Number of answers, p."""
        return int(self.times_us.shape[0])

    @property
    def rows(self) -> int:
        """Number of items, n."""
        return int(self.labels.shape[0])

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """int64[p], items of each answer."""
        return np.diff(self.starts)

    @property
    def answer_of_row(self) -> npt.NDArray[np.int64]:
        """int64[n]."""
        return np.repeat(np.arange(len(self)), self.lengths)

    @property
    def positions(self) -> npt.NDArray[np.int64]:
        """int64[n], the place of each item in its answer, from 0."""
        return np.arange(self.rows) - np.repeat(self.starts[:-1], self.lengths)

    @property
    def chance(self) -> npt.NDArray[np.uint64]:
        """uint64[n], numbers that know nothing of position or score: they break ties."""
        return (self.items ^ (self.answer_of_row.astype(np.uint64) * _ODD)) * _ODD

    def logits(self, scorer: str) -> npt.NDArray[np.float32]:
        """float32[n], NaN where it gave none; a scorer is `served`, `head` or a version's number."""
        if scorer in (SERVED, HEAD):
            return self.served if scorer == SERVED else self.head
        found = np.full(self.rows, np.nan, np.float32)
        scores = self.scores.get(int(scorer))
        if scores is not None:
            found[scores.rows] = scores.logits
        return found

    def select(self, keep: npt.NDArray[np.bool_]) -> "Answers":
        """Some of the answers: bool[p]."""
        rows = np.repeat(keep, self.lengths)
        place = np.cumsum(rows) - 1
        return replace(
            self,
            **{name: getattr(self, name)[keep] for name in ("times_us", "users", "versions", "arms", "mature")},
            **{name: getattr(self, name)[rows] for name in ("labels", "items", "propensities", "served", "head")},
            starts=np.concatenate([[0], np.cumsum(self.lengths[keep])]).astype(np.int64),
            scores={
                version: Scores(place[one.rows[rows[one.rows]]], one.logits[rows[one.rows]])
                for version, one in self.scores.items()
                if rows[one.rows].any()
            },
            features={name: FeatureColumn(column.values[rows]) for name, column in self.features.items()},
        )


def chosen_by_split(answers: Answers) -> npt.NDArray[np.bool_]:
    """Answers that the traffic split chose: bool[p]. One of a version that a caller named is no evidence."""
    return np.isin(answers.arms, [arm.value for arm in Arm if arm is not Arm.EXPLICIT])
