"""As served: the loss of the scores that each version really gave, from the prediction records alone."""

import msgspec
import numpy as np

from martlet.events import Arm
from martlet.measurement import Measurement, MeasurementBatch
from trainer_svc.labelled_rows import Examples
from trainer_svc.prequential import loss_name, losses


class ScoreboardState(msgspec.Struct):
    """Sums not yet reported: (version, count, sum, sum of squares), versions ascending."""

    sums: list[tuple[int, int, float, float]]
    sequence: int
    reported_us: int


class Scoreboard:
    """Collects between two reports. Not thread-safe.

    A report's number and content are functions of the log, so that after a restart the same ones are sent again, which
    the registry recognises.
    """

    def __init__(self, model: str, producer: str, interval_us: int, link: str = "sigmoid") -> None:
        self._link = link
        self._model = model
        self._producer = producer
        self._interval_us = interval_us
        self._sums: dict[int, tuple[int, float, float]] = {}
        self._sequence = 0
        self._reported_us = 0

    def update(self, examples: Examples) -> None:
        """Adds first labels of answers that the traffic split chose."""
        counted = [one for one in examples if one.judged and one.prediction.arm not in (None, Arm.EXPLICIT)]
        if not counted:
            return
        logits = np.concatenate([one.prediction.logits_at(one.rows) for one in counted])
        values = losses(self._link, logits, np.concatenate([one.labels for one in counted]))
        versions = np.repeat([one.prediction.version for one in counted], [len(one) for one in counted])
        for version in np.unique(versions).tolist():
            own = values[versions == version]
            count, total, squares = self._sums.get(version, (0, 0.0, 0.0))
            self._sums[version] = (count + own.shape[0], total + float(own.sum()), squares + float(own @ own))

    def report(self, event_time_us: int) -> MeasurementBatch | None:
        """The sums since the last report, once an interval of event time is over and there are any."""
        if not self._sums or event_time_us < self._reported_us + self._interval_us:
            return None
        measurements = tuple(
            Measurement(self._model, version, loss_name(self._link), *sums)
            for version, sums in sorted(self._sums.items())
        )
        self._sums = {}
        self._sequence += 1
        self._reported_us = event_time_us
        return MeasurementBatch(self._producer, self._sequence, measurements)

    def begin_anew(self) -> None:
        """Reports begin at number one: they are another lineage's."""
        self._sums, self._sequence, self._reported_us = {}, 0, 0

    def state(self) -> ScoreboardState:
        """The sums as they stand."""
        sums = [(version, *figures) for version, figures in sorted(self._sums.items())]
        return ScoreboardState(sums, self._sequence, self._reported_us)

    def restore(self, state: ScoreboardState) -> None:
        """Takes a state over."""
        self._sums = {version: (count, total, squares) for version, count, total, squares in state.sums}
        self._sequence, self._reported_us = state.sequence, state.reported_us
