"""The forgetting gauge: examples that were never learned, of a time ago, scored by the learner again and again.

How much worse the learner has become on them since they were first scored is what it has forgotten (A. Chaudhry et
al., ECCV 2018, F = a_then - a_now, with AUC as a). Which examples these are is fixed by `CohortChoice`; a reservoir of
fixed size holds a fair sample of them. While a younger cohort is gathered, the one before stays the old one.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from martlet.feature_spec import FeatureLayout
from martlet.runtime.learning_config import DriftConfig
from trainer_svc.batch import Batch
from trainer_svc.drift.cohort_choice import CohortChoice
from trainer_svc.labelled_rows import Examples, LabelledRows
from trainer_svc.prequential import area_under_curve, log_losses
from trainer_svc.replaying.reservoir import Reservoir
from trainer_svc.replaying.stored_examples import Origins, StoredExamples, main_labels

Arrays = dict[str, npt.NDArray[np.generic]]
_SEED = 0x6F6C64


class OldCohort:
    """See the module's docstring. Not thread-safe.

    Args:
        window_us: the attribution window: so long after its predictions a cohort is complete.
    """

    def __init__(self, settings: DriftConfig, layout: FeatureLayout, window_us: int) -> None:
        self.choice = CohortChoice(settings)
        self._window_us = window_us
        self._interval_us = int(settings.cohort_interval_seconds * 1e6)
        self._young = Reservoir(layout, settings.cohort_rows, 0, _SEED)
        self._old = StoredExamples(layout, settings.cohort_rows)
        self._number = -1  # of the young one
        self._old_number = -1
        self._scored_us = 0
        self._first_auc = self._auc = self._loss = float("nan")

    def split(self, examples: Examples) -> tuple[list[LabelledRows], list[LabelledRows]]:
        """What is learned, and what is held out."""
        learned: list[LabelledRows] = []
        held: list[LabelledRows] = []
        for group in examples:
            (learned if self.choice.number(group.prediction) < 0 else held).append(group)
        return learned, held

    def hold(self, batch: Batch, origins: Origins, number: int) -> None:
        """Examples of one cohort that were held out."""
        if number > self._number:
            if self._number >= 0 and len(self._young):
                self._become_old()
            self._young.clear()
            self._number = number
        if number == self._number:
            self._young.add(batch, origins, np.arange(batch.size))

    def due(self, now_us: int) -> Batch | None:
        """The old cohort, if it is to be scored now: at this event time."""
        young_done = self._number >= 0 and now_us >= self.choice.end_us(self._number) + self._window_us
        if self._old_number < 0 and young_done and len(self._young):
            self._become_old()
        if self._old_number < 0 or not len(self._old) or now_us < self._scored_us + self._interval_us:
            return None
        self._scored_us = now_us
        return self._old.take(np.arange(len(self._old)))[0]

    def scored(self, batch: Batch, logits: npt.NDArray[np.float32]) -> None:
        """The learner's logits of the old cohort."""
        labels = main_labels(batch)
        self._auc = area_under_curve(logits, labels)
        self._loss = float(log_losses(logits, labels).mean())
        if np.isnan(self._first_auc):
            self._first_auc = self._auc

    def figures(self) -> dict[str, float]:
        """`old_cohort_auc`, `old_cohort_logloss`, `old_cohort_forgetting`: those that have a value."""
        found = {
            "old_cohort_auc": self._auc,
            "old_cohort_logloss": self._loss,
            "old_cohort_forgetting": self._first_auc - self._auc,
        }
        return {name: value for name, value in found.items() if not np.isnan(value)}

    def forget(self, user: int) -> None:
        """Drops a user's examples."""
        self._young.forget(user)
        self._old.forget(user)

    def state(self) -> Arrays:
        """Examples and figures."""
        own: Arrays = {
            "numbers": np.array([self._number, self._old_number, self._scored_us], np.int64),
            "figures": np.array([self._first_auc, self._auc, self._loss], np.float64),
        }
        parts = {"choice": self.choice.state(), "young": self._young.state(), "old": self._old.state()}
        return own | {f"{part}/{name}": array for part, arrays in parts.items() for name, array in arrays.items()}

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Takes a state over (copies)."""
        self._number, self._old_number, self._scored_us = (int(one) for one in state["numbers"].tolist())
        self._first_auc, self._auc, self._loss = (float(one) for one in state["figures"].tolist())
        self.choice.restore({"origin_us": state["choice/origin_us"]})
        self._young.restore({name: state[f"young/{name}"] for name in self._young.state()})
        self._old.restore({name: state[f"old/{name}"] for name in self._old.state()})

    def _become_old(self) -> None:
        """The young cohort is the old one from now on; what it scores first is what it is held against."""
        if self._old_number != self._number:
            self._old.restore(self._young.stored.state())
            self._old_number, self._first_auc = self._number, float("nan")
