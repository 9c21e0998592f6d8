"""Whose examples are held out, and when: by a hash of the user and by event time, and nothing else."""

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt
import xxhash

from martlet.runtime.learning_config import DriftConfig
from martlet.wire.recorded import RecordedPrediction

Arrays = dict[str, npt.NDArray[np.generic]]

_STEPS: Final = 10_000
_SEED: Final = 0x636F686F7274  # apart from every other choice of users by a hash


class CohortChoice:
    """Cohort k: predictions made from `origin` + k · period on, for so long, for a share of the users. Not thread-safe.

    Attributes:
        origin_us: event time of the first prediction; 0: there was none.
    """

    def __init__(self, settings: DriftConfig) -> None:
        self._share = settings.cohort_share
        self._length_us = int(settings.cohort_seconds * 1e6)
        self._period_us = int(settings.cohort_period_seconds * 1e6)
        self.origin_us = 0

    def came(self, prediction: RecordedPrediction) -> None:
        """A prediction that can be learned from came."""
        self.origin_us = self.origin_us or prediction.time_us

    def number(self, prediction: RecordedPrediction) -> int:
        """The cohort that a prediction belongs to; -1: none."""
        offset_us = prediction.time_us - self.origin_us
        number = offset_us // self._period_us if self._period_us else 0
        if offset_us < 0 or offset_us >= number * self._period_us + self._length_us:
            return -1
        drawn = xxhash.xxh3_64_intdigest(prediction.user_key.to_bytes(8, "little"), seed=_SEED)
        return number if drawn % _STEPS < self._share * _STEPS else -1

    def end_us(self, number: int) -> int:
        """When a cohort's predictions are over."""
        return self.origin_us + number * self._period_us + self._length_us

    def state(self) -> Arrays:
        """The origin."""
        return {"origin_us": np.array(self.origin_us, np.int64)}

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Takes a state over."""
        self.origin_us = int(np.asarray(state["origin_us"], np.int64))
