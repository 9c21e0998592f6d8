"""Evidence and rollouts: messages to values and back."""

import math

from martlet.errors import InvalidInput
from martlet.events import Arm
from martlet.evidence import EvidenceBatch, EvidenceRow, Loss
from martlet.rollouts import DecisionView, EvidencePath, RolloutView
from martlet.v1 import events_pb2
from martlet.v1 import registry_pb2 as pb

_ARMS = {arm.value: arm for arm in Arm}
_LOSSES = {pb.LOSS_UNSPECIFIED: Loss.LOG} | {loss.value: loss for loss in Loss}


def evidence_message(batch: EvidenceBatch) -> pb.ReportEvidenceRequest:
    """A batch of evidence as a message."""
    return pb.ReportEvidenceRequest(
        producer=batch.producer,
        sequence=batch.sequence,
        model=batch.model,
        rows=[_row_message(row) for row in batch.rows],
        open_gap=batch.open_gap,
        watermark_us=batch.watermark_us,
        loss=pb.Loss.ValueType(batch.loss.value),
    )


def evidence_of(message: pb.ReportEvidenceRequest) -> EvidenceBatch:
    """A batch of evidence from a message.

    Raises:
        InvalidInput: no producer or model, a row that says nothing, or a loss that is not known here.
    """
    if not message.producer or not message.model:
        raise InvalidInput("evidence without a producer or a model")
    if not math.isfinite(message.open_gap):
        raise InvalidInput("open_gap is not finite")
    loss = _LOSSES.get(message.loss)
    if loss is None:
        raise InvalidInput(f"evidence of loss {message.loss}, which this registry does not know: it is older")
    rows = tuple(_row(row, place) for place, row in enumerate(message.rows))
    return EvidenceBatch(
        message.producer, message.sequence, message.model, rows, message.open_gap, message.watermark_us, loss
    )


def _row_message(row: EvidenceRow) -> pb.EvidenceRow:
    return pb.EvidenceRow(
        user=row.user,
        time_us=row.time_us,
        epoch=row.epoch,
        arm=events_pb2.Arm.ValueType(row.arm.value) if row.arm else events_pb2.ARM_UNSPECIFIED,
        weight=row.weight,
        version=row.version,
        head=row.head,
        label=row.label,
        scored_by=row.logits.keys(),
        logits=row.logits.values(),
    )


def _row(message: pb.EvidenceRow, place: int) -> EvidenceRow:
    if len(message.scored_by) != len(message.logits):
        raise InvalidInput(f"row {place}: {len(message.logits)} logits by {len(message.scored_by)} versions")
    if not 0.0 <= message.label <= 1.0:
        raise InvalidInput(f"row {place}: the label {message.label} is not in [0, 1]")
    return EvidenceRow(
        message.user,
        message.time_us,
        message.epoch,
        _ARMS.get(message.arm),
        message.weight,
        message.version,
        message.head,
        message.label,
        dict(zip(message.scored_by, message.logits, strict=True)),
    )


def rollout_message(view: RolloutView) -> pb.ShowRolloutResponse:
    """A rollout's view as a message."""
    names = [name for name in view.__dataclass_fields__ if name not in ("paths", "decisions")]
    message = pb.ShowRolloutResponse(**{name: getattr(view, name) for name in names})
    for path in view.paths:
        message.paths.add(**{name: getattr(path, name) for name in path.__dataclass_fields__})
    for decision in view.decisions:
        message.decisions.add(**{name: getattr(decision, name) for name in decision.__dataclass_fields__})
    return message


def rollout_of(message: pb.ShowRolloutResponse) -> RolloutView:
    """A rollout's view from a message."""
    names = [name for name in RolloutView.__dataclass_fields__ if name not in ("paths", "decisions", "awaited")]
    return RolloutView(
        **{name: getattr(message, name) for name in names},
        awaited=tuple(message.awaited),
        paths=tuple(
            EvidencePath(**{name: getattr(path, name) for name in EvidencePath.__dataclass_fields__})
            for path in message.paths
        ),
        decisions=tuple(
            DecisionView(**{name: getattr(one, name) for name in DecisionView.__dataclass_fields__})
            for one in message.decisions
        ),
    )
