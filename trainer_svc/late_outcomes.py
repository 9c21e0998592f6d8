"""How many positives come late: classifiers that learn along, from what is known when windows end.

What they know is a window old, and they give weights alone, not answers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from martlet.feature_spec import FeatureSpec
from martlet.learn.labels import ESDFM, FNC, FNW, DelayedFeedback, LabelRule
from trainer_svc.batch import Batch
from trainer_svc.hashed_classifier import Classifier, Hashing
from trainer_svc.labelled_rows import LabelledRows

Arrays = dict[str, npt.NDArray[np.generic]]


class LateOutcomes(Protocol):
    """What is known of outcomes that come late. A function of the calls; not thread-safe."""

    def weigh(self, batch: Batch) -> Batch:
        """The batch with what its weights need to be known of late outcomes."""
        ...

    def learn(self, ended: Sequence[LabelledRows]) -> None:
        """Windows have ended: final labels, and which positives came late."""
        ...

    def state(self) -> Arrays:
        """Everything (not copies)."""
        ...

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Takes a state over (copies); an empty one is that of the beginning."""
        ...


class NoLateOutcomes:
    """Examples enter with their final labels, or all of them enter as negatives: there is nothing to know."""

    def weigh(self, batch: Batch) -> Batch:
        """As it is."""
        return batch

    def learn(self, ended: Sequence[LabelledRows]) -> None:
        """Nothing."""

    def state(self) -> Arrays:
        """None."""
        return {}

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Nothing."""


class ShareOfLate:
    """One classifier, of positives: whether they come after the wait. What FNW and FNC with a wait need."""

    def __init__(self, spec: FeatureSpec, rate: float, buckets: int) -> None:
        self._late = Classifier(Hashing(spec, buckets), rate)

    def weigh(self, batch: Batch) -> Batch:
        """Gives the share of late positives of each example."""
        return replace(batch, late=self._late.probabilities(batch.block))

    def learn(self, ended: Sequence[LabelledRows]) -> None:
        """Learns from positives."""
        positives = [_chosen(group, group.labels > 0) for group in ended]
        self._late.learn_rows([replace(group, labels=_late(group).astype(np.float32)) for group in positives])

    def state(self) -> Arrays:
        """Everything."""
        return self._late.state("late")

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Takes a state over."""
        if state:
            self._late.restore(state, "late")


class DelayedOrReal:
    """ES-DFM's two classifiers (Yang et al. 2021, arXiv 2012.03245, eq. 12 and 13).

    p_dp: whether an impression is a delayed positive; p_rn: whether one without a positive after the wait is a real
    negative. Weights: 1 + p_dp of positives, (1 + p_dp) · p_rn of what enters as a negative.
    """

    def __init__(self, spec: FeatureSpec, rate: float, buckets: int) -> None:
        self._delayed = Classifier(Hashing(spec, buckets), rate)
        self._real = Classifier(Hashing(spec, buckets), rate)

    def weigh(self, batch: Batch) -> Batch:
        """Multiplies the weights."""
        ratio = 1 + self._delayed.probabilities(batch.block)
        real = self._real.probabilities(batch.block)
        return replace(batch, weights=batch.weights * ratio * np.where(batch.labels > 0, np.float32(1), real))

    def learn(self, ended: Sequence[LabelledRows]) -> None:
        """Learns from all impressions, and from those that entered as negatives."""
        delayed = [replace(group, labels=_late(group).astype(np.float32)) for group in ended]
        self._delayed.learn_rows(delayed)
        negatives = [_chosen(group, (group.labels == 0) | _late(group)) for group in ended]
        real = [replace(group, labels=np.float32(1) - group.labels) for group in negatives]
        self._real.learn_rows(real)

    def state(self) -> Arrays:
        """Everything."""
        return self._delayed.state("delayed") | self._real.state("real")

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Takes a state over."""
        if not state:
            return
        self._delayed.restore(state, "delayed")
        self._real.restore(state, "real")


class LateByTask:
    """What is known of each task's late outcomes: an example is of one task, and so is a window's end."""

    def __init__(self, tasks: Sequence[LateOutcomes]) -> None:
        self._tasks = tasks

    def weigh(self, batch: Batch) -> Batch:
        """Each example by what is known of its task."""
        late, weights = np.ones(batch.size, np.float32), batch.weights.copy()
        for task, known in enumerate(self._tasks):
            own = ~np.isnan(batch.labels[:, task])
            weighed = known.weigh(replace(batch, labels=batch.labels[:, task]))
            weights[own] = weighed.weights[own]
            if weighed.late is not None:
                late[own] = weighed.late[own]
        return replace(batch, late=late, weights=weights)

    def learn(self, ended: Sequence[LabelledRows]) -> None:
        """Each from its own."""
        for task, known in enumerate(self._tasks):
            known.learn([group for group in ended if group.task == task])

    def state(self) -> Arrays:
        """Everything, by the tasks' numbers."""
        states = enumerate(known.state() for known in self._tasks)
        return {f"{task}/{name}": array for task, state in states for name, array in state.items()}

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Takes a state over."""
        for task, known in enumerate(self._tasks):
            mine = f"{task}/"
            known.restore({name.removeprefix(mine): array for name, array in state.items() if name.startswith(mine)})


def late_outcomes_of(label: LabelRule, spec: FeatureSpec) -> LateOutcomes:
    """What a label's methods need to know."""
    known = [_known_of(rule.delayed, spec) for rule in label.tasks]
    if len(known) == 1 or all(isinstance(one, NoLateOutcomes) for one in known):
        return known[0]
    return LateByTask(known)


def _known_of(method: DelayedFeedback, spec: FeatureSpec) -> LateOutcomes:
    if isinstance(method, ESDFM):
        return DelayedOrReal(spec, method.rate, method.buckets)
    if isinstance(method, FNW | FNC) and method.wait:
        return ShareOfLate(spec, method.rate, method.buckets)
    return NoLateOutcomes()


def _late(group: LabelledRows) -> npt.NDArray[np.bool_]:
    return np.zeros(len(group), np.bool_) if group.late is None else group.late


def _chosen(group: LabelledRows, mask: npt.NDArray[np.bool_]) -> LabelledRows:
    """Some of the rows."""
    return replace(group, rows=group.rows[mask], labels=group.labels[mask], late=_late(group)[mask])
