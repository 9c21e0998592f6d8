"""Learning from the pin beside the labels, so that what it knew is not unlearned at once.

G. Hinton, O. Vinyals, J. Dean, arXiv 1503.02531 (temperature 1): the loss gets a second term, to the teacher's
probability σ(t). The cross-entropy is linear in its label, so that

    (1 - λ) H(y, σ(f)) + λ H(σ(t), σ(f)) = H((1 - λ) y + λ σ(t), σ(f)):

a label in between, and nothing else to compute. The teacher is the oldest version whose logits stand in the prediction
record: the pin, as head and candidate descend from it (an older version under trial stands in for it while it lasts).
Where the record holds one version only, and that did not answer as the pin, the label stays.
"""  # noqa: RUF002

import numpy as np
import numpy.typing as npt

from martlet.events import Arm
from martlet.wire.recorded import RecordedPrediction
from trainer_svc.labelled_rows import Examples

Floats = npt.NDArray[np.float32]


def softened(labels: Floats, examples: Examples, share: float) -> Floats:
    """Labels with the teacher's share λ, float32[n]."""
    logits = np.concatenate([_teacher(group.prediction)[group.rows] for group in examples])
    taught = ~np.isnan(logits)
    probability = 1.0 / (1.0 + np.exp(-np.where(taught, logits, 0.0)))
    return np.where(taught, (1 - share) * labels + share * probability, labels).astype(np.float32)


def _teacher(prediction: RecordedPrediction) -> npt.NDArray[np.float64]:
    """The teacher's logits of all rows; NaN where there is none."""
    scores = prediction.scores()
    if scores and (len(scores) > 1 or prediction.arm is Arm.PIN):
        logits = scores[min(scores)].astype(np.float64)
        return np.where(np.isfinite(logits), logits, np.nan)
    return np.full(prediction.rows, np.nan)
