"""What one task makes of outcomes and of the times that its label appoints: examples."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from martlet.events import Outcome
from martlet.learn.labels import Insertion, Reading, TaskRule
from martlet.wire.recorded import RecordedPrediction
from trainer_svc.held_predictions import HeldPredictions
from trainer_svc.labelled_rows import LabelledRows, all_rows, negatives, one_row
from trainer_svc.negative_sampling import kept
from trainer_svc.outcome_account import Excluded

_NONE: Final = -1


@dataclass(slots=True)
class Made:
    """Examples as they come.

    Attributes:
        learned: to be learned; judged too where they say so.
        unlearned: to be judged alone.
    """

    learned: list[LabelledRows] = field(default_factory=list)
    unlearned: list[LabelledRows] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Marks:
    """Which marks of a held prediction are one task's.

    Attributes:
        readings: by outcome type; those of a task that does not tell them apart are one.
        late: that a row's positive came after it had entered as a negative; -1: not noted.
        back: that a row's positive was taken back; -1: not noted.
        end: the first mark that is another task's.
    """

    readings: dict[str, int]
    late: int
    back: int
    end: int


def marks_of(rule: TaskRule, first: int) -> Marks:
    """The marks of a task, from a number on."""
    apart = rule.once or rule.by_rank
    readings = {one.type: first + (number if apart else 0) for number, one in enumerate(rule.readings)}
    end = max(readings.values()) + 1
    late, end = (end, end + 1) if rule.wait_us else (_NONE, end)
    back, end = (end, end + 1) if rule.takes_back else (_NONE, end)
    return Marks(readings, late, back, end)


class TaskReader:
    """One task's part of the joiner. Not thread-safe.

    Args:
        task: its number; the main one, 0, is judged.
        held: the joiner's predictions.
        mature: labels come at the window's end, for judging alone (see `trainer_svc.joiner`).
    """

    def __init__(self, rule: TaskRule, task: int, marks: Marks, held: HeldPredictions, *, mature: bool) -> None:
        self._rule = rule
        self.task = task
        self._marks = marks
        self._held = held
        self._once = rule.once or rule.by_rank
        self._mature = mature and self._once
        self._told: dict[int, dict[int, float]] | None = {} if mature and rule.tells_numbers else None
        self._readings = {reading.type: reading for reading in rule.readings}
        self._plain = rule.wait_us is None
        self._judges_at_once = task == 0 and not rule.judged_at_end
        self._offset = -math.log(rule.keep) if rule.keep < 1 else 0.0

    @property
    def types(self) -> tuple[str, ...]:
        """The outcomes it reads."""
        return (*self._readings, self._rule.takes_back) if self._rule.takes_back else tuple(self._readings)

    @property
    def window_us(self) -> int:
        """Its attribution window."""
        return self._rule.window_us

    @property
    def expires(self) -> bool:
        """Whether the window's end makes no examples."""
        return self._rule.rest is None and self._told is None

    def labelled(self, slot: int) -> list[int]:
        """The rows that have a label, ascending."""
        marks = set(self._marks.readings.values())
        if len(marks) == 1:
            return self._held.labelled(slot, *marks)
        return sorted({row for mark in marks for row in self._held.labelled(slot, mark)})

    def read(
        self, slot: int, prediction: RecordedPrediction, row: int, outcome: Outcome, *, entered: bool, made: Made
    ) -> Excluded | None:
        """An outcome within the window; None: it is used, else why not. `entered`: the row entered as a negative."""
        if outcome.type == self._rule.takes_back:
            return self._take_back(slot, prediction, row, made)
        reading = self._readings[outcome.type]
        label = reading.label(outcome.value, outcome.time_us - prediction.time_us)
        if label is None:
            return Excluded.SAYS_NOTHING
        if not self._once:
            first = self._held.label(slot, row, self._marks.readings[reading.type])
            if self._told is not None:
                self._told.setdefault(self._held.name(slot), {}).setdefault(row, label)
                return None
            self._add(made, prediction, row, label, reading.weight, judged=first and self.task == 0)
            return None
        if self._marks.back >= 0 and self._held.has(slot, row, self._marks.back):
            return Excluded.TAKEN_BACK
        return self._read_first(slot, prediction, row, reading, entered=entered, made=made)

    def enter(self, slot: int, prediction: RecordedPrediction, made: Made) -> None:
        """The wait is over: rows enter as negatives."""
        everything = self._rule.wait_us == 0
        rows = negatives(prediction, () if everything else self.labelled(slot))
        if self._rule.keep < 1:
            rows = _chosen(rows, kept(self._held.name(slot), rows.rows, self._rule.keep))
        if len(rows) and not self._mature:
            entered = replace(rows, judged=False, insertion=Insertion.EARLY, task=self.task, offset=self._offset)
            made.learned.append(entered)

    def end(self, slot: int, prediction: RecordedPrediction, made: Made) -> None:
        """The window is over: gives what it makes of all rows. Not for a task that expires."""
        if self._told is not None:
            made.learned += self._told_rows(slot, prediction, self._told)
            return
        if self._mature:
            made.learned.append(self._final(slot, prediction))
            return
        if self._rule.by_rank:
            made.learned.append(replace(self._final(slot, prediction), task=self.task, judged=self.task == 0))
            return
        if self._rule.wait_us is None:
            self._add_negatives(slot, prediction, made)
        if self._rule.judged_at_end and self.task == 0:
            made.unlearned.append(self._final(slot, prediction))
        elif self._marks.late >= 0:  # of another task: how many come late is learned of it, too
            made.unlearned.append(replace(self._final(slot, prediction), judged=False, task=self.task))

    def _read_first(
        self,
        slot: int,
        prediction: RecordedPrediction,
        row: int,
        reading: Reading,
        *,
        entered: bool,
        made: Made,
    ) -> Excluded | None:
        """A positive: the first of its row, or one that weighs more."""
        before = self._weight(slot, row) if len(self._readings) > 1 else 0.0
        if not self._held.label(slot, row, self._marks.readings[reading.type]):
            return Excluded.REPEATED_LABEL
        if self._rule.by_rank:
            return None
        if reading.weight <= before:
            return Excluded.REPEATED_LABEL
        insertion = Insertion.PLAIN if self._plain else Insertion.LATE if entered else Insertion.EARLY
        if entered and self._marks.late >= 0:
            self._held.label(slot, row, self._marks.late)
        if not self._mature:
            judged = self._judges_at_once and not before
            self._add(made, prediction, row, 1.0, reading.weight - before, judged=judged, insertion=insertion)
        return None

    def _take_back(self, slot: int, prediction: RecordedPrediction, row: int, made: Made) -> Excluded | None:
        if not self._held.label(slot, row, self._marks.back):
            return Excluded.REPEATED_LABEL
        weight = self._weight(slot, row)
        if not weight:
            return Excluded.NOTHING_TO_TAKE_BACK
        if not self._mature:
            self._add(made, prediction, row, 0.0, weight, judged=False, insertion=Insertion.TAKEN_BACK)
        return None

    def _add(
        self,
        made: Made,
        prediction: RecordedPrediction,
        row: int,
        label: float,
        weight: float,
        *,
        judged: bool,
        insertion: Insertion = Insertion.PLAIN,
    ) -> None:
        example = one_row(prediction, row, label, judged=judged)
        if (weight, insertion, self.task, self._offset) != (1.0, Insertion.PLAIN, 0, 0.0):
            example = replace(example, weight=weight, insertion=insertion, task=self.task, offset=self._offset)
        made.learned.append(example)

    def _add_negatives(self, slot: int, prediction: RecordedPrediction, made: Made) -> None:
        """What has no label by the window's end; with a share below 1, the others are judged alone."""
        rows = negatives(prediction, self.labelled(slot))
        if self._rule.rest:
            rows = replace(rows, labels=np.full(len(rows), self._rule.rest, np.float32))
        if self.task or self._rule.judged_at_end or self._offset:
            rows = replace(rows, judged=self._judges_at_once, task=self.task, offset=self._offset)
        if self._rule.keep < 1:
            chosen = kept(self._held.name(slot), rows.rows, self._rule.keep)
            dropped, rows = _chosen(rows, ~chosen), _chosen(rows, chosen)
            if len(dropped) and self._judges_at_once:
                made.unlearned.append(dropped)
        if len(rows):
            made.learned.append(rows)

    def _final(self, slot: int, prediction: RecordedPrediction) -> LabelledRows:
        """All rows with their labels at the window's end."""
        if self._rule.by_rank:
            labels = np.zeros(prediction.rows, np.float32)
            for rank, reading in enumerate(self._rule.readings, 1):
                labels[self._held.labelled(slot, self._marks.readings[reading.type])] = rank
            return replace(all_rows(prediction, ()), labels=labels)
        back = self._held.labelled(slot, self._marks.back) if self._marks.back >= 0 else []
        rows = all_rows(prediction, [row for row in self.labelled(slot) if row not in back])
        if self._marks.late < 0:
            return rows
        late = np.zeros(prediction.rows, np.bool_)
        late[self._held.labelled(slot, self._marks.late)] = True
        return replace(rows, late=late)

    def _told_rows(
        self, slot: int, prediction: RecordedPrediction, told: dict[int, dict[int, float]]
    ) -> list[LabelledRows]:
        """Rows with the first number that was told of each; of the others the rest's label, if there is one."""
        numbers = told.pop(self._held.name(slot), {})
        rest = self._rule.rest
        rows = sorted(numbers) if rest is None else range(prediction.rows)
        labels = np.array([numbers.get(row, rest or 0.0) for row in rows], np.float32)
        return [LabelledRows(prediction, np.array(rows, np.int64), labels, judged=True)] if len(rows) else []

    def drop(self, slot: int) -> None:
        """A prediction will not end: its user is forgotten."""
        if self._told is not None:
            self._told.pop(self._held.name(slot), None)

    @property
    def told(self) -> dict[int, dict[int, float]] | None:
        """Numbers that wait for the window's end, where labels do: {prediction's hash: {row: number}}."""
        return self._told

    @told.setter
    def told(self, told: dict[int, dict[int, float]]) -> None:
        self._told = told

    def _weight(self, slot: int, row: int) -> float:
        """The greatest weight of what came about a row; 0: nothing did."""
        marks, readings = self._marks.readings, self._rule.readings
        return max((one.weight for one in readings if self._held.has(slot, row, marks[one.type])), default=0.0)


def by_type(readers: Iterable[TaskReader]) -> dict[str, list[TaskReader]]:
    """Who reads each type of outcomes."""
    found: dict[str, list[TaskReader]] = {}
    for reader in readers:
        for kind in reader.types:
            found.setdefault(kind, []).append(reader)
    return found


def _chosen(rows: LabelledRows, mask: npt.NDArray[np.bool_]) -> LabelledRows:
    return replace(rows, rows=rows.rows[mask], labels=rows.labels[mask])
