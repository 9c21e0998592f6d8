"""The servable: a loaded version that can score. What the hands of this service work with; knows no runtime."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from martlet.errors import InvalidInput
from martlet.feature_spec import FeatureBlock, FeatureSpec
from martlet.signature import Signature

Tensors = dict[str, npt.NDArray[np.generic]]


@dataclass(frozen=True, slots=True)
class ServableId:
    """One version of one model. The digest is part of its identity: a number alone could be used twice."""

    model: str
    version: int
    digest: str


@dataclass(frozen=True, slots=True)
class Scores:
    """What a version says of n item rows.

    Attributes:
        score: float32[n], probabilities or the regression's values.
        logit: float32[n].
        known_finite: somebody has looked already, and every number is one.
        tasks: of a version of several tasks, the score of each that has one number, float32[n].
        by_score: the score ranks, as it is made of several tasks'; else the logit, which tells apart what rounds to one
            probability.
    """

    score: npt.NDArray[np.float32]
    logit: npt.NDArray[np.float32]
    known_finite: bool = False
    tasks: Mapping[str, npt.NDArray[np.float32]] = field(default_factory=dict)
    by_score: bool = False

    @property
    def rank(self) -> npt.NDArray[np.float32]:
        """What orders the rows, highest first."""
        return self.score if self.by_score else self.logit

    @property
    def finite(self) -> bool:
        """Whether every number is one. A NaN or an infinity is not lost in a sum, so one pass is enough."""
        return self.known_finite or bool(
            np.isfinite(self.logit.sum(dtype=np.float64) + self.score.sum(dtype=np.float64))
        )

    def rows(self, start: int, end: int) -> "Scores":
        """A part of them, without copying."""
        if not self.tasks:
            return Scores(self.score[start:end], self.logit[start:end], self.known_finite, by_score=self.by_score)
        return self._with_rows(slice(start, end))

    def at(self, rows: npt.NDArray[np.int64]) -> "Scores":
        """These rows, in this order, copied."""
        return self._with_rows(rows)

    def weighted(self, weights: Mapping[str, float]) -> "Scores":
        """Scores that are the weighted sum of the tasks', and rank.

        Raises:
            InvalidInput: no such task.
        """
        unknown = sorted(weights.keys() - self.tasks.keys())
        if unknown:
            known = ", ".join(self.tasks) or "none"
            raise InvalidInput(f"task_weights names {unknown[0]!r}; this version's tasks with one score are: {known}")
        total = sum((self.tasks[task] * np.float32(weight) for task, weight in weights.items()), np.float32(0))
        return replace(self, score=np.asarray(total, np.float32), known_finite=False, by_score=True)

    def _with_rows(self, rows: slice | npt.NDArray[np.int64]) -> "Scores":
        tasks = {task: score[rows] for task, score in self.tasks.items()}
        return replace(self, score=self.score[rows], logit=self.logit[rows], tasks=tasks)


class Servable(Protocol):
    """A loaded version. Both calls block, are pure and thread-safe."""

    @property
    def spec(self) -> FeatureSpec:
        """The feature spec that lays its blocks out."""
        ...

    @property
    def spec_digest(self) -> str:
        """Names the spec in prediction records."""
        ...

    @property
    def signature(self) -> Signature:
        """Its tensors."""
        ...

    @property
    def learned_us(self) -> int:
        """The event time up to which it has learned, microseconds since 1970-01-01 UTC; 0: nobody says."""
        ...

    def predict(self, block: FeatureBlock) -> Scores:
        """Scores a block that was laid out by `spec`."""
        ...

    def infer(self, inputs: Mapping[str, npt.NDArray[np.generic]], outputs: Sequence[str]) -> Tensors:
        """Runs on named tensors that fit `signature`; gives the named outputs."""
        ...
