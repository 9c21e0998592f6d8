"""From the log's records to evidence: a function of the journalled cuts and of the log alone.

What counts is fixed here, and nowhere else: the scores are those of the prediction's own record; a label is the first
of its item, taken when it is mature; answers of versions that a caller named are none. So no version can be flattered
by what it has learned since.
"""

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from martlet.events import Arm
from martlet.evidence import EvidenceBatch, EvidenceRow, Loss
from trainer_svc.event_source import EventSource
from trainer_svc.intake import Intake, IntakeRules
from trainer_svc.journal import Stepped
from trainer_svc.judge.judged_outputs import JudgedOutputs, Logits, judged_outputs_of
from trainer_svc.judge.open_gaps import OpenGaps, OpenGapsState
from trainer_svc.labelled_rows import Examples, LabelledRows

# Without new labels the registry hears of the open gap about once in so much event time.
REPORT_INTERVAL_US: Final = 1_000_000

Arrays = dict[str, npt.NDArray[np.generic]]


class _Progress(msgspec.Struct):
    step: int
    sequence: int
    reported_us: int
    reported_gap: float
    positions: dict[str, int]
    gaps: OpenGapsState


class EvidenceState:
    """The judge's own joiner, and how far it has read. Not thread-safe.

    Attributes:
        step: steps taken.
        positions: partition → offset up to which the log is read.
    """

    def __init__(self, producer: str, rules: IntakeRules, source: EventSource) -> None:
        self._producer = producer
        self._model = rules.model
        self._label = rules.label
        self._outputs = judged_outputs_of(rules.label)
        self._source = source
        self.intake = Intake(rules, source.payload, mature=True)
        self._gaps = OpenGaps(rules.label.window_us, self._outputs or Logits())
        self.step = 0
        self.positions: dict[str, int] = {}
        self._sequence = 0
        self._reported_us = 0
        self._reported_gap = 0.0

    def take_step(self, entry: Stepped) -> EvidenceBatch | None:
        """Reads a cut; gives the evidence that came of it, if there is anything to tell."""
        for wanted in entry.cut.ranges:
            for place, payload in self._source.records(wanted):
                prediction = self.intake.take_in(place, payload, entry.now_us)
                if prediction is not None:
                    self._gaps.opened(prediction)
            self.positions[wanted.partition] = wanted.end
        ended_us = self.intake.watermark_us
        examples = self.intake.finish(entry.cut, entry.now_us).examples
        for group in examples:
            self._gaps.labelled(group.prediction.prediction_id)
        self._gaps.advance(self.intake.watermark_us)
        self.step += 1
        if self._outputs is None:  # numbers without a range: no evidence (`registry.quality: health`)
            return self._report(())
        rows = [group for group in examples if not self._is_stale(group, ended_us)]
        return self._report(rows_of(rows, self._outputs))

    def state(self) -> Arrays:
        """Everything, for a checkpoint."""
        progress = _Progress(
            self.step, self._sequence, self._reported_us, self._reported_gap, self.positions, self._gaps.state()
        )
        own = {"progress": np.frombuffer(msgspec.msgpack.encode(progress, order="sorted"), np.uint8)}
        return own | {f"intake/{name}": array for name, array in self.intake.state().items()}

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Takes a state over."""
        progress = msgspec.msgpack.decode(state["progress"].tobytes(), type=_Progress)
        self.step, self._sequence, self.positions = progress.step, progress.sequence, progress.positions
        self._reported_us, self._reported_gap = progress.reported_us, progress.reported_gap
        self._gaps.restore(progress.gaps)
        intake = {name.removeprefix("intake/"): array for name, array in state.items() if name.startswith("intake/")}
        self.intake.restore(intake)

    def _is_stale(self, group: LabelledRows, ended_us: int) -> bool:
        """Whether a record came after its window had ended: late, or a repetition of one that is forgotten by now.

        Its rows would stand after those of later windows, and a repeated record may hold scores of what has learned it.
        """
        at_once = self._label.explicit and self._loss is Loss.LOG  # such a label comes when it is told
        return not at_once and group.prediction.time_us + self._label.window_us <= ended_us

    @property
    def _loss(self) -> Loss:
        return self._outputs.loss if self._outputs is not None else Loss.LOG

    def _report(self, rows: tuple[EvidenceRow, ...]) -> EvidenceBatch | None:
        watermark_us, gap = self.intake.watermark_us, self._gaps.total if self._outputs is not None else 0.0
        due = watermark_us >= self._reported_us + REPORT_INTERVAL_US and gap != self._reported_gap
        if not rows and not due:
            return None
        self._sequence += 1
        self._reported_us, self._reported_gap = watermark_us, gap
        return EvidenceBatch(self._producer, self._sequence, self._model, rows, gap, watermark_us, self._loss)


def rows_of(examples: Examples, outputs: JudgedOutputs) -> tuple[EvidenceRow, ...]:
    """The evidence in labelled rows, in their order."""
    counted = [group for group in examples if group.judged and group.prediction.arm not in (None, Arm.EXPLICIT)]
    return tuple(row for group in counted for row in _rows(group, outputs))


def _rows(group: LabelledRows, outputs: JudgedOutputs) -> Iterator[EvidenceRow]:
    prediction = group.prediction
    scores = {version: outputs.outputs(logits).tolist() for version, logits in prediction.scores().items()}
    user = prediction.user_key
    for row, label in zip(group.rows.tolist(), group.labels.tolist(), strict=True):
        yield EvidenceRow(
            user=user,
            time_us=prediction.time_us,
            epoch=prediction.epoch,
            arm=prediction.arm,
            weight=prediction.weight,
            version=prediction.version,
            head=prediction.head,
            label=outputs.label(label),
            logits={version: logits[row] for version, logits in scores.items()},
        )
