"""How much harm the live lane may have done that no label has shown yet: a bound that needs no labels.

The losses of two outputs differ by at most the outputs' distance (`JudgedOutputs.distance`). So as long as an answer of
the head has no label, its distance to the pin's score bounds what it may have cost.
"""

import heapq
from collections.abc import Mapping

import msgspec
import numpy as np

from martlet.events import Arm
from martlet.wire.recorded import RecordedPrediction
from trainer_svc.judge.judged_outputs import JudgedOutputs


class OpenGapsState(msgspec.Struct):
    """{prediction id: (due_us, gap)}, and their sum as it came about."""

    open: dict[str, tuple[int, float]]
    total: float


class OpenGaps:
    """Sums the gaps of the live lane's answers that have no label. Not thread-safe.

    The record does not say which of the other scored versions was the pin: the farthest one counts, which bounds it.
    """

    def __init__(self, window_us: int, outputs: JudgedOutputs) -> None:
        self._outputs = outputs
        self._window_us = window_us
        self._open: dict[str, tuple[int, float]] = {}
        self._dues: list[tuple[int, str]] = []
        self._total = 0.0

    @property
    def total(self) -> float:
        """In the unit of the outputs' distance: nats, or ranges of the label."""
        return max(self._total, 0.0) if self._open else 0.0

    def opened(self, prediction: RecordedPrediction) -> None:
        """An answer was given."""
        gap = self._gap(prediction) if prediction.arm is Arm.LIVE else 0.0
        if gap > 0.0 and prediction.prediction_id not in self._open:
            due = prediction.time_us + self._window_us
            self._open[prediction.prediction_id] = (due, gap)
            heapq.heappush(self._dues, (due, prediction.prediction_id))
            self._total += gap

    def labelled(self, prediction_id: str) -> None:
        """Its label is known."""
        _, gap = self._open.pop(prediction_id, (0, 0.0))
        self._total -= gap

    def advance(self, watermark_us: int) -> None:
        """Answers whose window is over will not be labelled any more."""
        while self._dues and self._dues[0][0] <= watermark_us:
            self.labelled(heapq.heappop(self._dues)[1])

    def state(self) -> OpenGapsState:
        """As it stands."""
        return OpenGapsState(dict(sorted(self._open.items())), self._total)

    def restore(self, state: OpenGapsState) -> None:
        """Takes a state over."""
        self._open, self._total = dict(state.open), state.total
        self._dues = [(due, prediction_id) for prediction_id, (due, _) in self._open.items()]
        heapq.heapify(self._dues)

    def _gap(self, prediction: RecordedPrediction) -> float:
        """Mean distance of the answer's outputs to the farthest of the other scored versions; 0 without any."""
        scores: Mapping[int, np.ndarray[tuple[int], np.dtype[np.float32]]] = prediction.scores()
        own = scores.get(prediction.version)
        if own is None:
            return 0.0
        others = (other for version, other in scores.items() if version != prediction.version)
        gaps = [self._outputs.distance(own, other) for other in others]
        return max((gap for gap in gaps if np.isfinite(gap)), default=0.0)
