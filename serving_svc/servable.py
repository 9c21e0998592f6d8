"""The servable: a loaded version that can score. What the hands of this service work with; knows no runtime."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

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
    """

    score: npt.NDArray[np.float32]
    logit: npt.NDArray[np.float32]
    known_finite: bool = False

    @property
    def finite(self) -> bool:
        """Whether every number is one. A NaN or an infinity is not lost in a sum, so one pass is enough."""
        return self.known_finite or bool(
            np.isfinite(self.logit.sum(dtype=np.float64) + self.score.sum(dtype=np.float64))
        )

    def rows(self, start: int, end: int) -> "Scores":
        """A part of them, without copying."""
        return Scores(self.score[start:end], self.logit[start:end], self.known_finite)


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

    def predict(self, block: FeatureBlock) -> Scores:
        """Scores a block that was laid out by `spec`."""
        ...

    def infer(self, inputs: Mapping[str, npt.NDArray[np.generic]], outputs: Sequence[str]) -> Tensors:
        """Runs on named tensors that fit `signature`; gives the named outputs."""
        ...
