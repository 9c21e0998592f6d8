"""The registry's messages to values and back."""

from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import Final, TypeVar

from martlet.errors import InvalidInput
from martlet.measurement import Measurement, MeasurementBatch
from martlet.v1 import registry_pb2 as pb
from martlet.v1 import serving_pb2
from martlet.versions import (
    AspiredModel,
    AspiredSet,
    AspiredVersion,
    CatalogState,
    LineageState,
    Role,
    ServableStatus,
    VersionRecord,
    VersionState,
)

E = TypeVar("E", bound=IntEnum)


_ROLES: Final = frozenset(role.value for role in Role)
_STATES: Final = frozenset(state.value for state in VersionState)


def _known(kind: type[E], number: int, what: str) -> E:
    """The enum's member of that number; a newer peer may send one that is not known here."""
    try:
        return kind(number)
    except ValueError as error:
        raise InvalidInput(f"{what} {number} is not known") from error


def record_message(record: VersionRecord) -> pb.VersionRecord:
    """A catalog record as a message."""
    return pb.VersionRecord(
        model=record.model,
        version=record.version,
        digest=record.digest,
        parent_digest=record.parent_digest,
        epoch=record.epoch,
        state=pb.CatalogState.ValueType(record.state.value),
        reason=record.reason,
        kind=record.kind,
        published_time_us=record.published_time_us,
        manifest=record.manifest,
    )


def record_of(message: pb.VersionRecord) -> VersionRecord:
    """A catalog record from a message.

    Raises:
        InvalidInput: no known state.
    """
    return VersionRecord(
        message.model,
        message.version,
        message.digest,
        message.parent_digest,
        message.epoch,
        _known(CatalogState, message.state, "catalog state"),
        message.reason,
        message.kind,
        message.published_time_us,
        message.manifest,
    )


def lineage_message(state: LineageState) -> pb.GetLineageResponse:
    """A lineage's state as a message."""
    return pb.GetLineageResponse(
        model=state.model,
        epoch=state.epoch,
        revision=state.revision,
        head_version=state.head_version,
        head_digest=state.head_digest,
        pin_version=state.pin_version,
        pin_digest=state.pin_digest,
        rewind=state.rewind,
        frozen=state.frozen,
    )


def lineage_of(message: pb.GetLineageResponse) -> LineageState:
    """A lineage's state from a message."""
    return LineageState(
        message.model,
        message.epoch,
        message.revision,
        message.head_version,
        message.head_digest,
        message.pin_version,
        message.pin_digest,
        message.rewind,
        message.frozen,
    )


def aspired_message(aspired: AspiredSet) -> pb.WatchAspiredResponse:
    """The full aspired set as a message."""
    return pb.WatchAspiredResponse(
        models=[_model_message(model) for model in aspired.models], lease_ms=aspired.lease_ms
    )


def aspired_of(message: pb.WatchAspiredResponse) -> AspiredSet:
    """The full aspired set from a message. A version in a role that a newer registry has is passed over.

    The pin then answers what that version would have.
    """
    return AspiredSet(tuple(_model_of(model) for model in message.models), message.lease_ms)


def _model_message(model: AspiredModel) -> pb.AspiredModel:
    versions = [
        pb.AspiredVersion(
            version=version.version,
            digest=version.digest,
            role=pb.Role.ValueType(version.role.value),
            weight=version.weight,
            shadow=version.shadow,
            trace_parent=version.trace,
        )
        for version in model.versions
    ]
    return pb.AspiredModel(
        model=model.model, epoch=model.epoch, revision=model.revision, salt=model.salt, versions=versions
    )


def _model_of(message: pb.AspiredModel) -> AspiredModel:
    versions = tuple(
        AspiredVersion(
            version.version,
            version.digest,
            Role(version.role),
            version.weight,
            version.shadow,
            version.trace_parent,
        )
        for version in message.versions
        if version.role in _ROLES
    )
    return AspiredModel(message.model, message.epoch, message.revision, message.salt, versions)


def status_message(status: ServableStatus) -> serving_pb2.ServableStatus:
    """A servable's status as a message."""
    return serving_pb2.ServableStatus(
        model=status.model,
        version=status.version,
        digest=status.digest,
        state=serving_pb2.VersionState.ValueType(status.state.value),
        reason=status.reason,
        requests=status.requests,
        errors=status.errors,
    )


def statuses_of(messages: Iterable[serving_pb2.ServableStatus]) -> list[ServableStatus]:
    """All that a replica holds. A version in a state that a newer replica has is passed over."""
    return [status_of(message) for message in messages if message.state in _STATES]


def status_of(message: serving_pb2.ServableStatus) -> ServableStatus:
    """A servable's status from a message.

    Raises:
        InvalidInput: no known state.
    """
    state = _known(VersionState, message.state, "servable state")
    return ServableStatus(
        message.model, message.version, message.digest, state, message.reason, message.requests, message.errors
    )


def replica_message(replica: str, statuses: Sequence[ServableStatus]) -> pb.ReportReplicaRequest:
    """What a replica holds, as a message."""
    return pb.ReportReplicaRequest(replica=replica, servables=[status_message(status) for status in statuses])


def measurements_message(batch: MeasurementBatch) -> pb.ReportMeasurementsRequest:
    """A batch of measurements as a message."""
    measurements = [
        pb.Measurement(
            model=m.model, version=m.version, name=m.name, count=m.count, sum=m.sum, sum_of_squares=m.sum_of_squares
        )
        for m in batch.measurements
    ]
    return pb.ReportMeasurementsRequest(producer=batch.producer, sequence=batch.sequence, measurements=measurements)


def measurements_of(message: pb.ReportMeasurementsRequest) -> MeasurementBatch:
    """A batch of measurements from a message.

    Raises:
        InvalidInput: nobody is named as its producer.
    """
    if not message.producer:
        raise InvalidInput("measurements without a producer")
    return MeasurementBatch(
        message.producer,
        message.sequence,
        tuple(Measurement(m.model, m.version, m.name, m.count, m.sum, m.sum_of_squares) for m in message.measurements),
    )
