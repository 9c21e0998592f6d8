"""What a learner learns at once."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from martlet.feature_spec import FeatureBlock

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Batch:
    """Examples: one for each item row of the block.

    Attributes:
        labels: float32[n], 0 or 1.
        weights: float32[n], how much each counts.
    """

    block: FeatureBlock
    labels: Floats
    weights: Floats

    @property
    def size(self) -> int:
        """Number of examples, n."""
        return int(self.labels.shape[0])
