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
        logit: of logits and of scores that are no probabilities, over max(1, |value|).
        worst: the output that differs most, in its bound.
    """

    rows: int
    score: float
    logit: float
    worst: str = ""

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

    def outputs(self, learner: Learner, block: FeatureBlock) -> dict[str, Floats]:
        """All outputs for a block laid out by the learner's spec, by name."""
        names = [str(output.name) for output in self._session.get_outputs()]
        return dict(zip(names, self._session.run(names, feed(learner.spec, block)), strict=True))


def check(learner: Learner, scorer: OnnxScorer, blocks: Iterable[FeatureBlock]) -> Parity:
    """Compares what the learner's head makes of its logits with the graph's outputs."""
    rows, worst = 0, {True: (0.0, ""), False: (0.0, "")}
    head = learner.model.head
    for block in blocks:
        expected, found = head.outputs(learner.logits(block)), scorer.outputs(learner, block)
        for name, wanted in expected.items():
            probability = head.is_probability(name)
            scale = 1.0 if probability else np.maximum(1.0, np.abs(wanted))
            # NaN must win: a comparison with it would be false and hide it.
            largest = float(np.max(np.abs(found[name] - wanted) / scale, initial=0.0))
            if not largest <= worst[probability][0]:
                worst[probability] = largest, name
        rows += block.rows
    (score, score_name), (logit, logit_name) = worst[True], worst[False]
    over = logit / MAX_LOGIT_DIFFERENCE > score / MAX_SCORE_DIFFERENCE
    return Parity(rows, score, logit, logit_name if over else score_name)
