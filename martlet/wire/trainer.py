"""The trainer's messages to values and back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from martlet.said import NOBODY, Said
from martlet.v1 import events_pb2, trainer_pb2


@dataclass(frozen=True, slots=True)
class FeatureFigures:
    """What one feature's values look like.

    Attributes:
        count: values seen: of a number item rows (or requests, on the user's side), of ids as many as there were.
        missing: share of numbers that were missing.
        mean, deviation: of numbers.
        quantiles: of numbers, (share, number below which so many lie).
        unseen: share of ids that occurred for the first time.
        top: the most frequent ids as they stand in the log (texts as hashes) with their counts, lower bounds.
    """

    name: str
    count: int
    missing: float = 0.0
    mean: float = 0.0
    deviation: float = 0.0
    quantiles: tuple[tuple[float, float], ...] = ()
    unseen: float = 0.0
    top: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class TrainerStatus:
    """How the trainer stands. Every outcome is in exactly one of learned, excluded, dead_lettered, pending.

    Attributes:
        consumed: partition → byte offset up to which the event log is learned.
        duplicates: repetitions that were recognised; not counted in the four.
        quality: prequential quality over the recent window, by name.
        state_digest: of the last checkpoint, which names all that its state rests on.
        drift_alarms: how often drift was noticed, by "series/detector".
        treated: what was done about values, examples and events, by name.
        features: what their values look like, if statistics are on.
    """

    model: str
    epoch: int
    step: int
    consumed: Mapping[str, int]
    learned: int
    excluded: int
    dead_lettered: int
    pending: int
    duplicates: int
    last_published_digest: str
    last_published_version: int
    last_checkpoint_step: int
    quality: Mapping[str, float]
    state_digest: str
    drift_alarms: Mapping[str, int] = field(default_factory=dict)
    treated: Mapping[str, int] = field(default_factory=dict)
    features: tuple[FeatureFigures, ...] = ()


class ErasureState(IntEnum):
    """How far an erasure has come. The numbers are the wire's."""

    FORGOTTEN = 1
    ERASED = 2


@dataclass(frozen=True, slots=True)
class Erasure:
    """One user's erasure; who it is, is not told.

    Attributes:
        rows: embedding rows that were cleared at once.
        events: records erased from the log, and `versions` that expired: known when it is done.
        said: who asked, and why.
    """

    id: int
    state: ErasureState
    asked_time_us: int
    rows: int
    events: int = 0
    versions: int = 0
    said: Said = NOBODY


def erasure_message(erasure: Erasure) -> trainer_pb2.Erasure:
    """An erasure as a message."""
    return trainer_pb2.Erasure(
        id=erasure.id,
        state=trainer_pb2.ErasureState.ValueType(erasure.state.value),
        asked_time_us=erasure.asked_time_us,
        rows=erasure.rows,
        events=erasure.events,
        versions=erasure.versions,
        who=erasure.said.who,
        why=erasure.said.why,
        caller=erasure.said.caller,
    )


def erasure_of(message: trainer_pb2.Erasure) -> Erasure:
    """An erasure from a message."""
    state = ErasureState(message.state)
    said = Said(message.who, message.why, message.caller)
    return Erasure(message.id, state, message.asked_time_us, message.rows, message.events, message.versions, said)


def trainer_status_message(status: TrainerStatus) -> trainer_pb2.GetTrainerStatusResponse:
    """The trainer's status as a message."""
    return trainer_pb2.GetTrainerStatusResponse(
        model=status.model,
        epoch=status.epoch,
        step=status.step,
        consumed=[
            events_pb2.LogPosition(partition=partition, offset=offset)
            for partition, offset in sorted(status.consumed.items())
        ],
        outcomes=trainer_pb2.EventCounts(
            learned=status.learned,
            excluded=status.excluded,
            dead_lettered=status.dead_lettered,
            pending=status.pending,
            duplicates=status.duplicates,
        ),
        last_published_digest=status.last_published_digest,
        last_published_version=status.last_published_version,
        last_checkpoint_step=status.last_checkpoint_step,
        quality=status.quality,
        state_digest=status.state_digest,
        drift_alarms=status.drift_alarms,
        treated=status.treated,
        features=[_feature_message(figures) for figures in status.features],
    )


def trainer_status_of(message: trainer_pb2.GetTrainerStatusResponse) -> TrainerStatus:
    """The trainer's status from a message."""
    return TrainerStatus(
        model=message.model,
        epoch=message.epoch,
        step=message.step,
        consumed={position.partition: position.offset for position in message.consumed},
        learned=message.outcomes.learned,
        excluded=message.outcomes.excluded,
        dead_lettered=message.outcomes.dead_lettered,
        pending=message.outcomes.pending,
        duplicates=message.outcomes.duplicates,
        last_published_digest=message.last_published_digest,
        last_published_version=message.last_published_version,
        last_checkpoint_step=message.last_checkpoint_step,
        quality=dict(message.quality),
        state_digest=message.state_digest,
        drift_alarms=dict(message.drift_alarms),
        treated=dict(message.treated),
        features=tuple(_feature_of(one) for one in message.features),
    )


def _feature_message(figures: FeatureFigures) -> trainer_pb2.FeatureStatistics:
    return trainer_pb2.FeatureStatistics(
        name=figures.name,
        count=figures.count,
        missing_share=figures.missing,
        mean=figures.mean,
        deviation=figures.deviation,
        quantiles=[trainer_pb2.Quantile(share=share, value=value) for share, value in figures.quantiles],
        unseen_share=figures.unseen,
        top=[trainer_pb2.IdCount(id=name, count=count) for name, count in figures.top],
    )


def _feature_of(message: trainer_pb2.FeatureStatistics) -> FeatureFigures:
    return FeatureFigures(
        name=message.name,
        count=message.count,
        missing=message.missing_share,
        mean=message.mean,
        deviation=message.deviation,
        quantiles=tuple((one.share, one.value) for one in message.quantiles),
        unseen=message.unseen_share,
        top=tuple((one.id, one.count) for one in message.top),
    )
