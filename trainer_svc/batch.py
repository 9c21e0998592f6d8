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
        labels: float32[n]; of several tasks float32[n, tasks], the main one first, NaN where a task has no label.
        weights: float32[n], how much each counts.
        offsets: float32[n] or None: added to each logit that is fitted, not to what is served: fit σ(f + offset), serve
            σ(f). With negatives kept at a rate r it is -log r (Wang, Zhang, Wang, NeurIPS'21, arXiv 2110.13048).
        insertions: uint8[n] or None: how each came into the stream (`martlet.learn.labels.Insertion`).
        late: float32[n] or None: the share of positives that come after the wait (`martlet.learn.labels.importance`);
            None: all.
        rate: a factor on the learning rates of the step that learns it.
    """  # noqa: RUF002

    block: FeatureBlock
    labels: Floats
    weights: Floats
    offsets: Floats | None = None
    insertions: npt.NDArray[np.uint8] | None = None
    late: Floats | None = None
    rate: float = 1.0

    def fitted_offsets(self, shifted: Floats | float) -> Floats | None:
        """What is added to the logits before the loss, of their shape; None: nothing is. `shifted`: see `Head`."""
        if self.offsets is None:
            return None
        return self.offsets * np.float32(shifted) if isinstance(shifted, float) else self.offsets[:, None] * shifted

    @property
    def size(self) -> int:
        """Number of examples, n."""
        return int(self.labels.shape[0])
