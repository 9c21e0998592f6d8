"""What a batch goes through between its test and its step: values set right, past examples, weights, masks, the rate.

It goes back with the learner when learning goes back to a version. A function of the batches that it was given, so a
restart that executes the journal again treats them alike. What the settings leave off costs nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from martlet.errors import InvalidInput
from martlet.feature_encoding import ItemId
from martlet.feature_spec import FeatureSpec
from martlet.keys import id_value
from martlet.runtime.learning_config import LearningConfig
from martlet.wire.recorded import user_key_of
from martlet.wire.trainer import FeatureFigures
from trainer_svc.batch import Batch
from trainer_svc.drift.distillation import softened
from trainer_svc.drift.drift_watch import DriftWatch
from trainer_svc.drift.example_weights import age_weights
from trainer_svc.drift.rate_boost import RateBoost
from trainer_svc.hygiene.feature_statistics import FeatureStatistics
from trainer_svc.hygiene.value_cleaning import ValueCleaning
from trainer_svc.labelled_rows import Examples
from trainer_svc.replaying.id_masking import IdMasking
from trainer_svc.replaying.replay import Replay
from trainer_svc.replaying.stored_examples import Origins, origins_of, rows_of

Arrays = dict[str, npt.NDArray[np.generic]]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Treated:
    """A batch to learn.

    Attributes:
        as_given: it begins with the examples that were given, their values as they were, so that one forward pass both
            tests and learns them.
    """

    batch: Batch
    as_given: bool


@dataclass(frozen=True, slots=True)
class TreatmentFigures:
    """How a treatment stands, for people.

    Attributes:
        alarms: by "series/detector".
        counts: examples and values by what was done about them.
        rate: the factor on the learning rate.
        features: what their values look like.
    """

    alarms: Mapping[str, int]
    counts: Mapping[str, int]
    rate: float
    features: tuple[FeatureFigures, ...]


class _Part(Protocol):
    def state(self) -> Arrays: ...

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]], /) -> None: ...


class BatchTreatment:
    """See the module's docstring. Not thread-safe.

    Args:
        link: the main task's: how a logit becomes a score.

    Raises:
        InvalidInput: a setting names what the model does not have.
    """

    def __init__(self, learning: LearningConfig, spec: FeatureSpec, link: str = "sigmoid") -> None:
        hygiene, drift, replay, augmentation = (
            learning.hygiene, learning.drift, learning.replay, learning.augmentation,
        )  # fmt: skip
        self._half_life_us = int(drift.weight_half_life_seconds * 1e6)
        self._distillation = drift.distillation
        if self._distillation and link != "sigmoid":
            raise InvalidInput("bad setting: learning.drift.distillation needs a yes-or-no label")
        self._statistics = FeatureStatistics(spec, hygiene.statistics_every) if hygiene.statistics_every else None
        cleans = bool(hygiene.missing or hygiene.outliers or hygiene.clip)
        self._cleaning = ValueCleaning(hygiene, spec) if cleans else None
        self._replay = Replay(learning, spec) if replay.share or augmentation.rare_share else None
        masks = augmentation.mask_ids
        self._masking = IdMasking(spec, masks, augmentation.seed) if masks else None
        self._watch = DriftWatch(drift, spec) if drift.detectors else None
        self._boost = RateBoost(drift.rate_boost, drift.boost_examples)
        parts: dict[str, _Part | None] = {
            "statistics": self._statistics, "cleaning": self._cleaning, "replay": self._replay,
            "masking": self._masking, "watch": self._watch,
            "boost": self._boost if self._watch is not None else None,
        }  # fmt: skip
        self._parts = {name: part for name, part in parts.items() if part is not None}
        self._idle = not (self._parts or self._half_life_us or self._distillation)

    def treat(self, examples: Examples, batch: Batch, now_us: int) -> Treated:
        """The batch to learn in place of this one, which is of these examples. `now_us`: event time."""
        if self._idle:
            return Treated(batch, as_given=True)
        if self._statistics is not None:
            self._statistics.observe(batch.block)
        if self._watch is not None and self._watch.came(batch.block):
            self._alarm()
        treated = batch
        origins = origins_of(examples) if self._replay is not None or self._half_life_us else None
        if self._distillation:
            treated = replace(treated, labels=softened(batch.labels, examples, self._distillation))
        treated, origins = self._cleaned(treated, origins)
        as_given = treated.block is batch.block
        if self._replay is not None and origins is not None:
            treated, origins = self._replay.mix(treated, origins)
        if self._half_life_us and origins is not None:
            ages = age_weights(origins.times_us, now_us, self._half_life_us)
            treated = replace(treated, weights=treated.weights * ages)
        if self._masking is not None:
            masked = self._masking.mask(treated.block)
            as_given = as_given and masked is treated.block
            treated = replace(treated, block=masked)
        treated = replace(treated, rate=self._boost.factor)
        self._boost.advance(batch.size)
        return Treated(treated, as_given)

    def tested(self, losses: npt.NDArray[np.float64]) -> None:
        """The losses of a batch's examples before they were learned."""
        if self._watch is not None and self._watch.tested(losses):
            self._alarm()

    @property
    def watches(self) -> bool:
        """Whether it wants to hear of losses."""
        return self._watch is not None

    def forget(self, user_id: ItemId) -> None:
        """Drops what is kept of a user."""
        if self._replay is not None:
            self._replay.forget(user_key_of(user_id))
        if self._statistics is not None:
            self._statistics.forget(id_value(user_id))

    def figures(self) -> TreatmentFigures:
        """How it stands."""
        counts: dict[str, int] = {}
        if self._cleaning is not None:
            counts["values_cut"] = int(self._cleaning.cut.sum())
            counts["values_filled"] = int(self._cleaning.filled.sum())
            counts["examples_dropped"] = self._cleaning.dropped
        if self._replay is not None:
            counts["examples_replayed"] = self._replay.replayed
        return TreatmentFigures(
            dict(self._watch.alarms) if self._watch is not None else {},
            counts,
            self._boost.factor,
            tuple(self._statistics.figures()) if self._statistics is not None else (),
        )

    def state(self) -> Arrays:
        """All that later batches' treatment depends on (not copies)."""
        return {f"{part}/{name}": array for part, own in self._parts.items() for name, array in own.state().items()}

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Takes a state over, bit for bit (copies); a part that it does not have begins anew."""
        parts: dict[str, Arrays] = {}
        for name, array in state.items():
            part, _, rest = name.partition("/")
            parts.setdefault(part, {})[rest] = array
        for name, part_of in self._parts.items():
            if name in parts:
                part_of.restore(parts[name])

    def _cleaned(self, batch: Batch, origins: Origins | None) -> tuple[Batch, Origins | None]:
        if self._cleaning is None:
            return batch, origins
        cleaned = self._cleaning.clean(batch.block)
        if cleaned.block is not batch.block:
            batch = replace(batch, block=cleaned.block)
        if cleaned.keep is None:
            return batch, origins
        return rows_of(batch, cleaned.keep), None if origins is None else origins.at(cleaned.keep)

    def _alarm(self) -> None:
        self._boost.alarm()
        if self._replay is not None:
            self._replay.alarm()
