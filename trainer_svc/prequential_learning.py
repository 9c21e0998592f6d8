"""Test, then train: each example is scored before it is learned, by the learner and as it was served.

Here stands everything between joined examples and the learner: what is held out, prepared, weighed, treated, tested.
"""

from collections.abc import Mapping
from itertools import groupby
from typing import Final

import numpy as np

from martlet.feature_encoding import ItemId
from martlet.measurement import MeasurementBatch
from martlet.runtime.learning_config import learning_of
from martlet.wire.recorded import user_key_of
from trainer_svc.batch import Batch
from trainer_svc.batch_treatment import BatchTreatment, Treated, TreatmentFigures
from trainer_svc.drift.cohort_choice import CohortChoice
from trainer_svc.drift.old_cohort import OldCohort
from trainer_svc.example_batch import batch_of
from trainer_svc.intake import IntakeRules
from trainer_svc.journal import Began
from trainer_svc.labelled_rows import Examples, LabelledRows, count, in_batches
from trainer_svc.late_outcomes import late_outcomes_of
from trainer_svc.prequential import Prequential, log_losses
from trainer_svc.replaying.stored_examples import origins_of
from trainer_svc.scoreboard import Scoreboard, ScoreboardState
from trainer_svc.stepping import Suspect
from trainer_svc.training_ports import Arrays, ExamplePreparation, Floats, LearnerPort

QUALITY_WINDOW: Final = 4096
REPORT_INTERVAL_US: Final = 1_000_000


class PrequentialLearning:
    """See the module's docstring. Times are event time. Not thread-safe.

    Attributes:
        examples: learned so far.
    """

    def __init__(self, began: Began, rules: IntakeRules, learner: LearnerPort, preparation: ExamplePreparation) -> None:
        learning = learning_of(began.learning)
        label, layout = rules.label, rules.spec.layout
        self._batch_examples = began.batch_examples
        self._layout = layout
        self._tasks = label.tasks
        self._learner = learner
        self._preparation = preparation
        self._cohort = OldCohort(learning.drift, layout, label.window_us) if learning.drift.cohort_share else None
        self._treatment = BatchTreatment(learning, rules.spec)
        self._late = late_outcomes_of(label, rules.spec)
        self._prequential = Prequential(QUALITY_WINDOW, label.link)
        self._scoreboard = Scoreboard(began.model, f"trainer/{began.lineage}", REPORT_INTERVAL_US, label.link)
        self.examples = 0

    @property
    def cohort_choice(self) -> CohortChoice | None:
        """Which examples are held out; None: none are."""
        return None if self._cohort is None else self._cohort.choice

    @property
    def treatment(self) -> TreatmentFigures:
        """What was done about values, events and drift."""
        return self._treatment.figures()

    def quality(self) -> dict[str, float]:
        """Over the recent window, and on the old cohort if there is one."""
        return self._prequential.get() | ({} if self._cohort is None else self._cohort.figures())

    def running_quality(self) -> dict[str, float]:
        """Over a window of event time, and fading; no part of a version's manifest."""
        return self._prequential.running()

    def batches(self, examples: Examples) -> list[list[LabelledRows]]:
        """As they are learned together."""
        return list(in_batches(examples, self._batch_examples))

    def learned_of(self, joined: list[LabelledRows]) -> list[LabelledRows]:
        """Those that are not held out."""
        return joined if self._cohort is None else self._cohort.split(joined)[0]

    def test_and_learn(self, joined: list[LabelledRows], ended: Examples, now_us: int) -> None:
        """One step's examples, and the final labels of rows that were learned otherwise, or not at all."""
        self._prequential.advance(now_us)
        for examples in self.batches(self._hold_out(joined)):
            self._test_and_learn(examples, now_us)
        self._judge(ended)
        self._score_cohort(now_us)

    def learn_again(self, suspect: Suspect, now_us: int) -> None:
        """Learns examples that were taken back; they were tested when they came."""
        for examples in suspect.batches:
            prepared = self._preparation.prepare(examples, self.examples)
            self._learner.learn(self._treatment.treat(prepared, self._batch(prepared), now_us).batch, now_us)
            self.examples += count(examples)

    def forget(self, user_id: ItemId) -> int:
        """Drops what was learned and kept of a user; gives the rows that went."""
        self._treatment.forget(user_id)
        if self._cohort is not None:
            self._cohort.forget(user_key_of(user_id))
        return self._learner.forget(user_id)

    def forget_again(self, user_id: ItemId) -> None:
        """The same after a rewind, which leaves alone what is held out."""
        self._learner.forget(user_id)
        self._treatment.forget(user_id)

    def report(self, now_us: int) -> MeasurementBatch | None:
        """See `Scoreboard.report`."""
        return self._scoreboard.report(now_us)

    def begin_anew(self) -> None:
        """Reports begin at number one: they are another lineage's."""
        self._scoreboard.begin_anew()

    def scoreboard(self) -> ScoreboardState:
        """What is not reported yet."""
        return self._scoreboard.state()

    def rewinding(self) -> dict[str, Arrays]:
        """What a rewind takes back, not copied."""
        return {
            "learner": self._learner.state(),
            "prequential": self._prequential.state(),
            "preparation": self._preparation.state(),
            "treatment": self._treatment.state(),
        }

    def rewind(self, parts: Mapping[str, Arrays]) -> None:
        """Goes back to that."""
        self._learner.restore(parts["learner"])
        self._preparation.restore(parts["preparation"])
        self._treatment.restore(parts["treatment"])
        self._prequential.restore(parts["prequential"])

    def state(self) -> dict[str, Arrays]:
        """All but the scoreboard, not copied."""
        cohort = {} if self._cohort is None else self._cohort.state()
        return self.rewinding() | {"late": self._late.state(), "cohort": cohort}

    def restore(self, parts: Mapping[str, Arrays], scoreboard: ScoreboardState, examples: int) -> None:
        """Takes a state over; a part that an older release did not have begins anew."""
        self.examples = examples
        self._scoreboard.restore(scoreboard)
        self.rewind({"preparation": {}, "treatment": {}, **parts})
        self._late.restore(parts.get("late", {}))
        if self._cohort is not None and "cohort" in parts:
            self._cohort.restore(parts["cohort"])

    def _test_and_learn(self, examples: Examples, now_us: int) -> None:
        """Each example is scored before it is learned."""
        batch = self._batch(examples)
        prepared = self._preparation.prepare(examples, self.examples)
        treated = self._treated(prepared, batch if prepared is examples else self._batch(prepared), now_us)
        if prepared is examples and treated.as_given:
            logits = self._learner.test_and_learn(treated.batch, now_us)[: batch.size]
        else:
            logits = self._learner.predict(batch.block)
            self._learner.learn(treated.batch, now_us)
        judged = np.repeat([group.judged for group in examples], [len(group) for group in examples])
        main, labels = (values if values.ndim == 1 else values[:, 0] for values in (logits, batch.labels))
        self._tested(main[judged], labels[judged], self._shares(labels[judged]))
        self._scoreboard.update(examples)
        self.examples += batch.size

    def _judge(self, ended: Examples) -> None:
        """Final labels, by the scores that were served: the learner's own would be of one that has learned the row."""
        main = [group for group in ended if group.task == 0]
        if main:
            self._scoreboard.update(main)
        if main and self._tasks[0].judged_at_end:
            logits = np.concatenate([group.prediction.logits_at(group.rows) for group in main])
            self._tested(logits, np.concatenate([group.labels for group in main]), None)
        if ended:
            self._late.learn(ended)

    def _tested(self, logits: Floats, labels: Floats, weights: Floats | None) -> None:
        self._prequential.update(logits, labels, weights)
        if self._treatment.watches:
            self._treatment.tested(log_losses(logits, labels))

    def _treated(self, examples: Examples, batch: Batch, now_us: int) -> Treated:
        return self._treatment.treat(examples, batch, now_us)

    def _batch(self, examples: Examples) -> Batch:
        return self._late.weigh(batch_of(examples, self._layout, len(self._tasks)))

    def _shares(self, labels: Floats) -> Floats | None:
        """What tested rows stand for: a negative for those that were not chosen to be learned, too."""
        share = self._tasks[0].keep
        return None if share == 1 else np.where(labels > 0, np.float32(1), np.float32(1 / share))

    def _hold_out(self, examples: list[LabelledRows]) -> list[LabelledRows]:
        """What is to be learned; what is held out to measure with goes there."""
        if self._cohort is None:
            return examples
        choice, (learned, held) = self._cohort.choice, self._cohort.split(examples)
        for number, groups in groupby(held, lambda group: choice.number(group.prediction)):
            own = list(groups)
            self._cohort.hold(self._batch(own), origins_of(own), number)
        return learned

    def _score_cohort(self, now_us: int) -> None:
        batch = None if self._cohort is None else self._cohort.due(now_us)
        if self._cohort is not None and batch is not None:
            self._cohort.scored(batch, self._learner.predict(batch.block))
