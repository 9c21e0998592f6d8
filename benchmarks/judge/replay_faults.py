"""Faults that are planted into a replay, as values."""

from dataclasses import dataclass, replace
from enum import Enum

import numpy as np

from benchmarks.judge.replay_learner import Floats, Version
from benchmarks.judge.replay_streams import Flags, Ids


class Touched(Enum):
    """Which labels a fault may flip."""

    ALL = "all"
    POSITIVES = "positives"
    SEGMENT = "segment"


class Export(Enum):
    """What is wrong with the versions that are published while the fault lasts; what is learned stays right."""

    RIGHT = "right"
    SWAPPED = "swapped"
    SCALED = "scaled"
    ZEROED = "zeroed"
    STALE = "stale"


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault.

    Attributes:
        name: as in the figures.
        labels: how many labels it lasts.
        flip: probability that a touched label is flipped.
        upstream: flipped before the judge sees it, not in training alone.
        swapped: training reads the user's number as the item's.
    """

    name: str
    labels: int
    flip: float = 0.0
    touched: Touched = Touched.ALL
    upstream: bool = False
    swapped: bool = False
    export: Export = Export.RIGHT

    def flips(self, labels: Ids, segment: Flags, rng: np.random.Generator) -> Flags:
        """Which of these labels are flipped."""
        may = {Touched.ALL: labels >= 0, Touched.POSITIVES: labels == 1, Touched.SEGMENT: segment}[self.touched]
        chosen: Flags = may & (rng.random(len(labels)) < self.flip)
        return chosen

    def exported(self, version: Version, half: Flags, before: Floats) -> Version:
        """The version as it is published while the fault lasts. `before`: the table when the fault began."""
        if self.export is Export.SWAPPED:
            return replace(version, swapped=True, broken=True)
        if self.export is Export.SCALED:
            return replace(version, scale=10.0, broken=True)
        if self.export is Export.RIGHT:
            return version
        rest = 0.0 if self.export is Export.ZEROED else before
        return replace(version, table=np.where(half[:, None], rest, version.table), broken=True)


HEALTHY = Fault("healthy", 0)
FOR_EVER = 10**9
FAULTS = (
    Fault("flip_5000", 5000, flip=1.0),
    Fault("half_flip_5000", 5000, flip=0.5),
    Fault("flip_1000", 1000, flip=1.0),
    Fault("noise_20_5000", 5000, flip=0.2),
    Fault("positives_lost_5000", 5000, flip=0.5, touched=Touched.POSITIVES),
    Fault("swapped_serving_5000", 5000, export=Export.SWAPPED),
    Fault("swapped_training_5000", 5000, swapped=True),
    Fault("zeroed_rows_5000", 5000, export=Export.ZEROED),
    Fault("stale_rows", FOR_EVER, export=Export.STALE),
    Fault("scale_10_5000", 5000, export=Export.SCALED),
    Fault("segment_flip_5000", 5000, flip=1.0, touched=Touched.SEGMENT),
    Fault("upstream_flip_5000", 5000, flip=1.0, upstream=True),
)
