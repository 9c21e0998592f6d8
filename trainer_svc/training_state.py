"""The trainer's state, and what each journalled entry does to it: a function of the state, the entry and the event log.

Nothing here decides, waits or writes, apart from dead letters.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from martlet.manifest import Learned, Lineage
from martlet.runtime.learning_config import learning_of
from martlet.wire.projected import RecordReader
from martlet.wire.recorded import RecordedPrediction
from trainer_svc.batch_treatment import TreatmentFigures
from trainer_svc.event_source import EventSource, Place
from trainer_svc.example_batch import whole_block
from trainer_svc.forgotten_users import ForgottenUsers
from trainer_svc.hygiene.screening import screening_of
from trainer_svc.intake import Intake, IntakeRules
from trainer_svc.joiner import Joined
from trainer_svc.journal import (
    Acknowledged,
    Began,
    Erased,
    Forgot,
    Published,
    PublishResult,
    Readmitted,
    Refused,
    Rewound,
    Stepped,
)
from trainer_svc.labelled_rows import LabelledRows, count
from trainer_svc.learner_figures import LearnerFigures
from trainer_svc.outcome_account import Excluded
from trainer_svc.prequential_learning import PrequentialLearning
from trainer_svc.provenance import provenance_of
from trainer_svc.recent_answers import RecentAnswers
from trainer_svc.scoreboard import ScoreboardState
from trainer_svc.stepping import Stepping, Suspect
from trainer_svc.table_shipping import TableShipping
from trainer_svc.training_ports import (
    Arrays,
    AsTheyAre,
    ExamplePreparation,
    Floats,
    GraphPort,
    LearnerPort,
    LetterPort,
    TrackerPort,
)
from trainer_svc.version_builder import VersionPayload
from trainer_svc.version_cursor import VersionCursor

EVICT_INTERVAL_US: Final = 3_600_000_000


class _Progress(msgspec.Struct):
    """What is counted, and the ring of recent predictions."""

    step: int
    examples: int
    positions: dict[str, int]
    evicted_us: int
    recent: list[Place]
    scoreboard: ScoreboardState
    rewinds: int = 0
    forgotten: list[Forgot] = []


class TrainingState:
    """See the module's docstring. Not thread-safe.

    Attributes:
        step: steps taken.
        positions: partition → offset up to which the log is learned.
        rewinds: how often learning went back.
        cursor: where publishing stands.
        intake: where the events stand.
        forgotten: users of whom the log may still hold something.
    """

    def __init__(
        self,
        began: Began,
        rules: IntakeRules,
        learner: LearnerPort,
        graph: GraphPort,
        source: EventSource,
        letters: LetterPort,
        preparation: ExamplePreparation | None = None,
    ) -> None:
        self._began = began
        self._layout = rules.spec.layout
        self._learner = learner
        self._graph = graph
        self._source = source
        self._letters = letters
        self._learning = PrequentialLearning(began, rules, learner, preparation or AsTheyAre())
        screening = screening_of(learning_of(began.learning), self._learning.cohort_choice)
        self.intake = Intake(rules, source.payload, screening=screening)
        self.cursor = VersionCursor()
        self._shipping = TableShipping(began.delta_encoding, began.exact_repair_every)
        reader = RecordReader(rules.spec, rules.earlier)
        self._recent = RecentAnswers(began.recent_requests, source.payload, reader, rules.label.link)
        self.forgotten = ForgottenUsers()
        self.step = 0
        self.positions: dict[str, int] = {}
        self._evicted_us = 0
        self.rewinds = 0

    @property
    def generation(self) -> int:
        """The learner's."""
        return self._learner.generation

    @property
    def examples(self) -> int:
        """Examples learned."""
        return self._learning.examples

    @property
    def learner_figures(self) -> LearnerFigures:
        """What the learner and its tables have counted."""
        return self._learner.figures()

    def take_step(self, entry: Stepped) -> Stepping:
        """Reads a cut, joins, tests, learns."""
        joined = self._join(entry)
        self._learning.test_and_learn(joined.examples, joined.unlearned, self.intake.watermark_us)
        self._evict()
        self.step += 1
        self._letters.write(self.step, joined.letters)
        report = self._learning.report(self.intake.watermark_us)
        traces = tuple(dict.fromkeys(joined.traces))
        letters = tuple(letter.reason for letter in joined.letters)
        return Stepping(count(joined.examples), letters, report, self.step, traces)

    def take_off(self, entry: Published) -> VersionPayload:
        """Copies what a version is made of."""
        self.cursor.take_off(entry.number, self.examples, self.generation)
        began, at = self._began, self.cursor.at
        head = None if at.head is None else at.head.tables
        tables = self._shipping.cut(self._learner.tables.values(), head, entry.kind)
        return VersionPayload(
            number=entry.number,
            kind=entry.kind,
            lineage=Lineage(began.lineage, at.parent, at.epoch, at.sequence + 1),
            learned=Learned(dict(sorted(self.positions.items())), self.step, self.examples, self.intake.watermark_us),
            provenance=provenance_of(began, entry.martlet),
            graph=self._graph(),
            dense=self._learner.dense_weights(),
            tables=tables,
            metrics=self.quality() | self._recent.shift(self.predict_as_published),
        )

    def found(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Begins as another lineage's state; what that one published is not this one's. For a fresh state.

        Every bucket counts as changed: the first version is a snapshot anyway.
        """
        self.restore(state)
        self.cursor.begin_anew()
        self._learning.begin_anew()

    def land(self, entry: PublishResult) -> None:
        """The version under way was answered. What an acknowledged one carried need not travel again."""
        if isinstance(entry, Acknowledged):
            self.cursor.acknowledged(entry)
            for table in self._learner.tables.values():
                table.tracker.acknowledge()
            if self.cursor.at.head is not None:
                self._shipping.acknowledged(self.cursor.at.head.tables)
        elif isinstance(entry, Refused):
            self.cursor.refused(entry)
        else:
            self.cursor.overtaken(entry)

    def rewind(self, entry: Rewound, restored: "TrainingState") -> None:
        """Learning goes back to a version's state. What was read and joined stays; only its learning is undone."""
        parts = restored.rewinding()
        self._learning.rewind(parts)
        self._shipping.restore(parts["shipping"])
        self.cursor.rewound(entry, restored.cursor.at, self.examples)
        for forgot in self.forgotten:  # the version may be older than the word
            self._learning.forget_again(forgot.user_id)
            self.cursor.rebase()
        reason = Excluded.REFUSED if entry.refused else Excluded.REWOUND
        self.intake.account.unlearn(restored.intake.account.learned, reason)
        self.rewinds += 1

    def forget(self, entry: Forgot) -> int:
        """A user is forgotten; gives the rows that went.

        The next version is a snapshot: no chain of deltas may begin at a base that knows the user.
        """
        self.forgotten.add(entry)
        self._pass_over()
        self.intake.forget(entry.user_id)
        self._recent.forget(entry.user_id)
        self.cursor.rebase()
        return self._learning.forget(entry.user_id)

    def erased(self, entry: Erased) -> None:
        """The log holds nothing of that user any more, nor does a version that learning may go back to."""
        self.forgotten.erased(entry.start)
        self._pass_over()

    def collect(self, entry: Stepped) -> list[list[LabelledRows]]:
        """Reads and joins a cut, and learns nothing: the batches that learning it would have taken."""
        return self._learning.batches(self._learning.learned_of(self._join(entry).examples))

    def learn_again(self, suspect: Suspect) -> None:
        """Learns examples that were taken back; they were tested when they came."""
        self._learning.learn_again(suspect, self.intake.watermark_us)
        self.intake.account.relearn(suspect.outcomes)

    def readmit(self, entry: Readmitted, suspect: Suspect) -> None:
        """A version that had learned a suspect range was promoted: this state learns it too."""
        self.learn_again(suspect)
        self.cursor.readmitted(entry)

    def rewinding(self) -> dict[str, Arrays]:
        """What a rewind takes back, not copied: learner, quality of its tests, shipping, preparation, treatment."""
        return self._learning.rewinding() | {"shipping": self._shipping.state()}

    def quality(self) -> dict[str, float]:
        """Prequential quality over the recent window, and on the old cohort if there is one."""
        return self._learning.quality()

    @property
    def treatment(self) -> TreatmentFigures:
        """What was done about values, events and drift."""
        return self._learning.treatment

    def running_quality(self) -> dict[str, float]:
        """Prequential quality over a window of event time, and fading; no part of a version's manifest."""
        return self._learning.running_quality()

    def predict(self, predictions: Sequence[RecordedPrediction]) -> Floats:
        """The learner's logits for all rows of recorded predictions."""
        return self._learner.predict(whole_block(predictions, self._layout))

    def predict_as_published(self, predictions: Sequence[RecordedPrediction]) -> Floats:
        """The same, as the version that was taken off just now answers: with the rows that arrive."""
        with self._shipping.as_published(self._learner.tables.values()):
            return self.predict(predictions)

    def state(self) -> Arrays:
        """Everything, as arrays of which some are not copies: encode or copy them before going on."""
        progress = _Progress(
            self.step,
            self.examples,
            self.positions,
            self._evicted_us,
            self._recent.state(),
            self._learning.scoreboard(),
            self.rewinds,
            self.forgotten.state(),
        )
        parts: dict[str, Arrays] = {
            **self._learning.state(),
            "intake": self.intake.state(),
            "cursor": self.cursor.state(),
            "shipping": self._shipping.state(),
            "progress": {"": np.frombuffer(msgspec.json.encode(progress, order="sorted"), np.uint8)},
        }
        return {f"{part}/{name}": array for part, arrays in parts.items() for name, array in arrays.items()}

    def trackers(self) -> dict[str, TrackerPort]:
        """What tells which buckets changed, by the prefix of each table's arrays in `state`."""
        return {f"learner/rows/{name}/": table.tracker for name, table in self._learner.tables.items()}

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Takes a state over, bit for bit."""
        parts: dict[str, Arrays] = {}
        for name, array in state.items():
            part, _, rest = name.partition("/")
            parts.setdefault(part, {})[rest] = array
        progress = msgspec.json.decode(parts["progress"][""].tobytes(), type=_Progress)
        self.step, self.positions = progress.step, progress.positions
        self._evicted_us, self.rewinds = progress.evicted_us, progress.rewinds
        self._recent.restore(progress.recent)
        self.forgotten.restore(progress.forgotten)
        self._pass_over()
        self._learning.restore(parts, progress.scoreboard, progress.examples)
        self.intake.restore(parts["intake"])
        self.cursor.restore(parts["cursor"])
        self._shipping.restore(parts.get("shipping", {}))

    def _join(self, entry: Stepped) -> Joined:
        """Reads a cut and joins its events."""
        for wanted in entry.cut.ranges:
            for place, payload in self._source.records(wanted):
                if self.intake.take_in(place, payload, entry.now_us) is not None:
                    self._recent.add(place)
            self.positions[wanted.partition] = wanted.end
        return self.intake.finish(entry.cut, entry.now_us)

    def _pass_over(self) -> None:
        self.intake.pass_over(self.forgotten.passed_over())

    def _evict(self) -> None:
        due = self.intake.watermark_us // EVICT_INTERVAL_US
        if due > self._evicted_us // EVICT_INTERVAL_US:
            self._learner.evict(self.intake.watermark_us)
            self._evicted_us = self.intake.watermark_us
