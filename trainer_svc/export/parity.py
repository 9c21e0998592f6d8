"""Does the exported graph, in onnxruntime, give the trainer's numbers?"""

import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from martlet.feature_encoding import feed
from martlet.feature_spec import FeatureBlock
from martlet.signature import LOGIT, SCORE
from trainer_svc.export.compose import materialise
from trainer_svc.learner import Learner

Floats = npt.NDArray[np.float32]
MAX_SCORE_DIFFERENCE: Final = 1e-6
MAX_LOGIT_DIFFERENCE: Final = 1e-5


@dataclass(frozen=True, slots=True)
class Parity:
    """The largest differences found.

    Attributes:
        rows: examples compared.
        score: of probabilities, absolute.
        logit: of logits, over max(1, |logit|).
    """

    rows: int
    score: float
    logit: float

    @property
    def holds(self) -> bool:
        """Whether both are within the bounds. NaN anywhere is not."""
        return self.score <= MAX_SCORE_DIFFERENCE and self.logit <= MAX_LOGIT_DIFFERENCE


class OnnxScorer:
    """A full export, written out as a plain ONNX folder, in an onnxruntime session."""

    def __init__(self, graph: bytes, arrays: Mapping[str, npt.NDArray[np.generic]], *, optimise: bool = True) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        levels = ort.GraphOptimizationLevel
        options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimise else levels.ORT_DISABLE_ALL
        with tempfile.TemporaryDirectory(prefix="martlet-") as folder:
            path = materialise(graph, arrays, Path(folder))
            self._session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def scores(self, learner: Learner, block: FeatureBlock) -> tuple[Floats, Floats]:
        """Scores and logits of a block laid out by the learner's spec."""
        score, logit = self._session.run([SCORE, LOGIT], feed(learner.spec, block))
        return score, logit


def check(learner: Learner, scorer: OnnxScorer, blocks: Iterable[FeatureBlock]) -> Parity:
    """Compares the learner's answers with the graph's."""
    rows, worst_score, worst_logit = 0, 0.0, 0.0
    for block in blocks:
        expected = learner.predict(block).astype(np.float64)
        score, logit = scorer.scores(learner, block)
        with np.errstate(over="ignore"):
            probability = 1.0 / (1.0 + np.exp(-expected))
        # NaN must win: a comparison with it would be false and hide it.
        worst_score = _worse(worst_score, np.abs(score - probability))
        worst_logit = _worse(worst_logit, np.abs(logit - expected) / np.maximum(1.0, np.abs(expected)))
        rows += block.rows
    return Parity(rows, worst_score, worst_logit)


def _worse(worst: float, differences: npt.NDArray[np.float64]) -> float:
    return float(np.max(differences, initial=worst))
