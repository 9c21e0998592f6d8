"""Watches the learner's own loss, and features, for a change. A function of the batches that were tested."""

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from martlet.errors import InvalidInput
from martlet.feature_spec import FeatureBlock, FeatureSpec
from martlet.runtime.learning_config import DriftConfig
from trainer_svc.drift.adwin import Adwin
from trainer_svc.drift.detector import Arrays, Detector, Doubles
from trainer_svc.drift.kswin import Kswin
from trainer_svc.drift.page_hinkley import PageHinkley
from trainer_svc.hygiene.number_columns import NumberColumns
from trainer_svc.hygiene.running_moments import RunningMoments

LOSS: Final = "loss"
# Detectors want numbers in [0, 1]. A loss beyond this counts as this: one strange example must not look like drift.
MOST_LOSS: Final = 4.0
_MOST_DEVIATIONS: Final = 4.0


class DriftWatch:
    """Each detector that the settings name, on each series. Not thread-safe.

    Attributes:
        alarms: by "series/detector", how often a change was noticed: of the loss, a rise.

    Raises:
        InvalidInput: a setting names a feature that is no number.
    """

    def __init__(self, settings: DriftConfig, spec: FeatureSpec) -> None:
        self._columns = NumberColumns.of(spec)
        self._features = tuple(settings.features)
        for name in self._features:
            if name not in self._columns.names:
                raise InvalidInput(f"bad setting: learning.drift.features names {name!r}, which is no number")
        self._detectors = {
            (series, kind): _detector(kind, settings)
            for series in (LOSS, *self._features)
            for kind in settings.detectors
        }
        self._moments = RunningMoments(len(self._features))
        self.alarms = {f"{series}/{kind}": 0 for series, kind in self._detectors}

    def tested(self, losses: Doubles) -> bool:
        """Losses of examples that were scored before they were learned, in their order; says whether one alarmed.

        That a loss has fallen is no alarm: the learner has learned.
        """
        return self._update(LOSS, np.minimum(losses, MOST_LOSS) / MOST_LOSS, rises=True)

    def came(self, block: FeatureBlock) -> bool:
        """The values of a batch; says whether a detector alarmed."""
        alarmed = False
        for place, name in enumerate(self._features):
            values = self._columns.by_row(block, name)
            values = values[~np.isnan(values)]
            alarmed |= self._update(name, self._standard(values, place))
        return alarmed

    def state(self) -> Arrays:
        """Detectors, moments and counts."""
        own: Arrays = {"alarms": np.array([*self.alarms.values()], np.int64), "moments": self._moments.state()["sums"]}
        for (series, kind), detector in self._detectors.items():
            own |= {f"{kind}/{series}/{name}": array for name, array in detector.state().items()}
        return own

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Takes a state over."""
        self.alarms = dict(zip(self.alarms, np.asarray(state["alarms"], np.int64).tolist(), strict=True))
        self._moments.restore({"sums": state["moments"]})
        for (series, kind), detector in self._detectors.items():
            detector.restore({name: state[f"{kind}/{series}/{name}"] for name in detector.state()})

    def _update(self, series: str, values: Doubles, *, rises: bool = False) -> bool:
        alarmed = False
        for (watched, kind), detector in self._detectors.items():
            if watched == series:
                alarms = detector.update(values)
                count = int(np.count_nonzero(alarms > 0 if rises else alarms))
                self.alarms[f"{series}/{kind}"] += count
                alarmed |= count > 0
        return alarmed

    def _standard(self, values: npt.NDArray[np.float32], place: int) -> Doubles:
        """In deviations from the mean of all that came before, cut, in [0, 1]."""
        deviation = self._moments.deviation[place]
        known = self._moments.count[place] > 1 and deviation > 0
        distance = (values - self._moments.mean[place]) / deviation if known else np.zeros(values.shape[0])
        self._moments.add(values.reshape(-1, 1), slice(place, place + 1))
        return np.asarray((distance.clip(-_MOST_DEVIATIONS, _MOST_DEVIATIONS) / _MOST_DEVIATIONS + 1) / 2, np.float64)


def _detector(kind: str, settings: DriftConfig) -> Detector:
    if kind == "adwin":
        return Adwin(settings.adwin_delta, settings.adwin_clock)
    if kind == "page_hinkley":
        return PageHinkley(settings.page_hinkley_threshold, settings.page_hinkley_delta)
    return Kswin(settings.kswin_alpha, settings.kswin_window, settings.kswin_stat)
