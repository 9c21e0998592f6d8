"""A model's judge: the lane's and the structural version's, as one fold over batches of evidence. Pure."""

from collections.abc import Sequence
from typing import Final

import msgspec

from martlet.evidence import EvidenceBatch, EvidenceRow, Loss
from registry_svc.evidence.criterion import criterion_of
from registry_svc.evidence.lane_judge import LaneJudge, LaneJudgeState
from registry_svc.evidence.structural_judge import StructuralJudge, StructuralJudgeState
from registry_svc.lane import Lane
from registry_svc.lane_rules import LaneEvidence
from registry_svc.policy import EvidencePolicy, LanePolicy, TrialPolicy
from registry_svc.trial_rules import TrialEvidence

JUDGE_FORMAT: Final = 1


class JudgeRecord(msgspec.Struct):
    """All that a judge knows.

    Attributes:
        batches: how many were judged.
        sequences: the last batch's number of each producer; a batch that does not follow was here already.
        rows: how many labelled rows they held.
        open_gap, watermark_us: as in the newest batch.
        loss: what is judged by. With another one the judges begin anew: what they know is in other units.
        newest_us: time of the newest answer that was judged.
        since: producer → time up to which answers had been judged before it came.
    """

    batches: int = 0
    rows: int = 0
    sequences: dict[str, int] = {}
    open_gap: float = 0.0
    watermark_us: int = 0
    lane: LaneJudgeState | None = None
    trial: StructuralJudgeState | None = None
    format: int = JUDGE_FORMAT
    loss: Loss = Loss.LOG
    newest_us: int = 0
    since: dict[str, int] = {}


class ModelJudge:
    """Not thread-safe. The same batches and lanes in the same order give the same record, bit for bit."""

    def __init__(self, policy: LanePolicy, record: JudgeRecord | None = None) -> None:
        self._rules = policy.evidence or EvidencePolicy()
        self._trial_rules: TrialPolicy = policy.trial
        found = record or JudgeRecord()
        self._record = msgspec.structs.replace(found, sequences=dict(found.sequences), since=dict(found.since))
        self._lane, self._trial = self._judges(found.loss, found.lane, found.trial)

    @property
    def batches(self) -> int:
        """How many batches were judged."""
        return self._record.batches

    @property
    def watermark_us(self) -> int:
        """Event time that the newest batch had come to."""
        return self._record.watermark_us

    def knows(self, batch: EvidenceBatch) -> bool:
        """Whether this batch, or a later one of its producer, was judged."""
        return batch.sequence <= self._record.sequences.get(batch.producer, -1)

    def fold(self, batch: EvidenceBatch, lane: Lane) -> None:
        """Takes a batch in, with the lane as it stands.

        A producer that comes when another one has judged reads the log from its beginning: a trainer that lost its
        journal. What may have been judged by then is not judged again.
        """
        record = self._record
        if batch.loss is not record.loss:
            record.loss, record.rows = batch.loss, 0
            self._lane, self._trial = self._judges(batch.loss, None, None)
        self.look_at(lane)
        rows = self._unjudged(batch)
        young = max(self._rules.burn_in_labels - record.rows, 0)
        self._lane.fold(rows[young:])
        if lane.trial is not None:
            self._trial.fold(rows[young:])
        record.rows += len(rows)
        record.newest_us = max(record.newest_us, max((row.time_us for row in rows), default=0))
        record.batches += 1
        record.sequences[batch.producer] = batch.sequence
        record.open_gap, record.watermark_us = batch.open_gap, batch.watermark_us

    def _unjudged(self, batch: EvidenceBatch) -> Sequence[EvidenceRow]:
        record = self._record
        if batch.producer not in record.sequences and record.sequences:
            record.since[batch.producer] = max(record.newest_us, record.watermark_us)
        since = record.since.get(batch.producer)
        return batch.rows if since is None else [row for row in batch.rows if row.time_us > since]

    def look_at(self, lane: Lane) -> None:
        """Who is compared from now on. Idempotent."""
        self._lane.compare(epoch=lane.epoch, pin=lane.pin.version, candidate=lane.candidate.version, alarms=lane.alarms)
        if lane.trial is not None:
            phase = lane.trial.phase.value
            self._trial.compare(version=lane.tried.version, pin=lane.pin.version, phase=phase)

    def lane_evidence(self) -> LaneEvidence:
        """What is known of the live lane."""
        budget = self._rules.harm_budget if self._record.loss is Loss.LOG else self._rules.number_harm_budget
        return LaneEvidence(self._lane.findings(), self._record.open_gap, budget, batches=self._record.batches)

    def trial_evidence(self) -> TrialEvidence:
        """What is known of the structural version."""
        return TrialEvidence(self._trial.findings(), self._record.batches)

    def _judges(
        self, loss: Loss, lane: LaneJudgeState | None, trial: StructuralJudgeState | None
    ) -> tuple[LaneJudge, StructuralJudge]:
        live, structural = self._rules.judge, self._trial_rules.judge
        if loss is Loss.SQUARED:
            live, structural = live.for_numbers(), structural.for_numbers()
        return (
            LaneJudge(live, lane, criterion_of(loss, live.margin_share)),
            StructuralJudge(structural, trial, criterion_of(loss, structural.margin_share)),
        )

    def record(self) -> JudgeRecord:
        """All of it, for the catalog."""
        return msgspec.structs.replace(self._record, lane=self._lane.state(), trial=self._trial.state())
