"""Past examples beside new ones: a share of each batch from a reservoir, and more of the rarer class.

Rebalancing: where positives are rarer than wanted, past positives come in until they make up the wanted share, and all
positives of the batch then share its own positives' weight. So what a batch teaches stays the same on average (as long
as positives are of one kind) and its variance becomes less: a positive counts P / (P + E) with E past ones beside P.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from martlet.feature_spec import FeatureSpec
from martlet.runtime.learning_config import LearningConfig
from trainer_svc.batch import Batch
from trainer_svc.drift.density_ratio import DensityRatio
from trainer_svc.replaying.draws import uniforms
from trainer_svc.replaying.reservoir import Reservoir
from trainer_svc.replaying.stored_examples import Arrays, Origins, joined, main_labels

_SHARING = 0x7368617265


class Replay:
    """See the module's docstring. Not thread-safe.

    Attributes:
        replayed: past examples learned again.
    """

    def __init__(self, learning: LearningConfig, spec: FeatureSpec) -> None:
        settings, rare = learning.replay, learning.augmentation
        self._share, self._seed = settings.share, settings.seed
        self._rare_share = rare.rare_share
        self._sample = Reservoir(spec.layout, settings.rows if settings.share else 0, settings.horizon, settings.seed)
        rows = rare.rare_rows if rare.rare_share else 0
        self._positives = Reservoir(spec.layout, rows, rare.rare_horizon, rare.seed)
        self._ratio = DensityRatio(spec) if settings.density_ratio else None
        self._restarts = settings.restart_on_alarm
        self._batches = 0
        self.replayed = 0

    def mix(self, batch: Batch, origins: Origins) -> tuple[Batch, Origins]:
        """The batch with past examples behind it; then offers its own to the reservoirs."""
        mixed, from_where = self._with_rare(batch, origins)
        mixed, from_where = self._with_past(batch, mixed, from_where)
        if self._share:
            self._sample.add(batch, origins, np.arange(batch.size))
        if self._rare_share:
            self._positives.add(batch, origins, np.flatnonzero(main_labels(batch) > 0))
        self._batches += 1
        self.replayed += mixed.size - batch.size
        return mixed, from_where

    def alarm(self) -> None:
        """Drift was noticed: if that is wanted, what came before is replayed no more."""
        if self._restarts:
            self._sample.clear()
            self._positives.clear()

    def forget(self, user: int) -> None:
        """Drops a user's examples."""
        self._sample.forget(user)
        self._positives.forget(user)

    def state(self) -> Arrays:
        """Reservoirs, ratio and counts."""
        parts = {"sample": self._sample.state(), "positives": self._positives.state()}
        if self._ratio is not None:
            parts["ratio"] = self._ratio.state()
        own: Arrays = {"counts": np.array([self._batches, self.replayed], np.int64)}
        return own | {f"{part}/{name}": array for part, arrays in parts.items() for name, array in arrays.items()}

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Takes a state over."""
        parts: dict[str, Arrays] = {}
        for name, array in state.items():
            part, _, rest = name.partition("/")
            parts.setdefault(part, {})[rest] = array
        self._batches, self.replayed = (int(count) for count in np.asarray(state["counts"], np.int64))
        self._sample.restore(parts["sample"])
        self._positives.restore(parts["positives"])
        if self._ratio is not None:
            self._ratio.restore(parts["ratio"])

    def _with_rare(self, batch: Batch, origins: Origins) -> tuple[Batch, Origins]:
        positive = main_labels(batch) > 0
        own, others = int(positive.sum()), batch.size - int(positive.sum())
        wanted = self._whole(self._rare_share * others / (1 - self._rare_share) - own) if own else 0
        more, theirs = self._positives.draw(max(0, wanted))
        if not more.size:
            return batch, origins
        factor = np.float32(own / (own + more.size))
        weights = np.where(positive, batch.weights * factor, batch.weights)
        both = joined(replace(batch, weights=weights), replace(more, weights=more.weights * factor))
        return both, _both(origins, theirs)

    def _with_past(self, batch: Batch, mixed: Batch, origins: Origins) -> tuple[Batch, Origins]:
        past, theirs = self._sample.draw(self._whole(self._share * batch.size / (1 - self._share)))
        if self._ratio is not None:
            ratio = self._ratio.of(past.block)
            self._ratio.learn(batch.block, past.block)
            past = replace(past, weights=past.weights * ratio)
        return joined(mixed, past), _both(origins, theirs)

    def _whole(self, wanted: float) -> int:
        """A whole number, as much on average."""
        return int(np.floor(wanted + uniforms(self._seed ^ _SHARING, self._batches, 1)[0]))


def _both(one: Origins, other: Origins) -> Origins:
    return Origins(np.concatenate([one.users, other.users]), np.concatenate([one.times_us, other.times_us]))
