"""The event log's payloads: events as bytes and back.

Arrays travel as raw little-endian bytes, so that neither side loops over elements. About 10 µs for a prediction of 8
items in either direction, 2 µs for an outcome; `kind_of` looks at one byte.
"""

from enum import StrEnum

import numpy as np
import numpy.typing as npt
from google.protobuf.message import DecodeError

from martlet.errors import Corrupt, InvalidInput
from martlet.events import Arm, Event, ItemDelete, ItemUpsert, Outcome, Prediction
from martlet.feature_encoding import ItemId
from martlet.feature_spec import FeatureBlock
from martlet.v1 import events_pb2 as pb
from martlet.wire.values import id_message, id_of, optional_id_of, value_messages, values_of

_INT64 = np.dtype("<i8")
_FLOAT32 = np.dtype("<f4")


class EventKind(StrEnum):
    """The kinds of event; the names are the wire's."""

    PREDICTION = "prediction"
    OUTCOME = "outcome"
    ITEM_UPSERT = "item_upsert"
    ITEM_DELETE = "item_delete"


# A record holds one field, a message, so its payload begins with that field's tag: its number and wire type 2.
_KIND_OF_TAG = {pb.LogRecord.DESCRIPTOR.fields_by_name[kind.value].number << 3 | 2: kind for kind in EventKind}


def kind_of(payload: bytes) -> EventKind | None:
    """Which kind of event a payload holds, from its first byte: 0.1 µs, so that a reader decodes only what it needs.

    None: no known kind, or nothing at all; `decode_event` says what is wrong with it.

    >>> kind_of(encode_event(ItemDelete("shop", 7, 0)))
    <EventKind.ITEM_DELETE: 'item_delete'>
    """
    return _KIND_OF_TAG.get(payload[0]) if payload else None


def encode_event(event: Event) -> bytes:
    """An event as the payload of a log record."""
    return log_record(event).SerializeToString()


def log_record(event: Event) -> pb.LogRecord:
    """An event as a message."""
    if isinstance(event, Prediction):
        return pb.LogRecord(prediction=_prediction_message(event))
    if isinstance(event, Outcome):
        return pb.LogRecord(outcome=_outcome_message(event))
    if isinstance(event, ItemUpsert):
        item = pb.Item(item_id=id_message(event.item_id), attributes=value_messages(event.attributes))
        return pb.LogRecord(item_upsert=pb.ItemUpsertEvent(model=event.model, item=item, time_us=event.time_us))
    return pb.LogRecord(
        item_delete=pb.ItemDeleteEvent(model=event.model, item_id=id_message(event.item_id), time_us=event.time_us)
    )


def decode_event(payload: bytes) -> Event:
    """The event in a log record's payload.

    Raises:
        Corrupt: not a record of a known kind.
        InvalidInput: a record with a missing or senseless part; the message names it.
    """
    record = _parsed(payload)
    kind = record.WhichOneof("event")
    if kind == "prediction":
        return _prediction(record.prediction)
    if kind == "outcome":
        return _outcome(record.outcome)
    if kind == "item_upsert":
        upsert = record.item_upsert
        item_id = id_of(upsert.item.item_id, "item_id")
        return ItemUpsert(upsert.model, item_id, values_of(upsert.item.attributes), upsert.time_us)
    if kind == "item_delete":
        delete = record.item_delete
        return ItemDelete(delete.model, id_of(delete.item_id, "item_id"), delete.time_us)
    raise Corrupt("a log record without an event")


def user_of(payload: bytes) -> tuple[str, ItemId | None]:
    """The id of a prediction record, and the user it was made for.

    Raises:
        Corrupt: not a prediction record.
    """
    prediction = _parsed(payload).prediction
    return prediction.prediction_id, optional_id_of(prediction.user_id)


def prediction_of(payload: bytes) -> str:
    """The id of the prediction that an outcome record is about.

    Raises:
        Corrupt: not a log record.
    """
    return _parsed(payload).outcome.prediction_id


def _parsed(payload: bytes) -> pb.LogRecord:
    try:
        return pb.LogRecord.FromString(payload)
    except DecodeError as error:
        raise Corrupt(f"not a log record: {error}") from error


def _outcome_message(outcome: Outcome) -> pb.OutcomeEvent:
    return pb.OutcomeEvent(
        event_id=outcome.event_id,
        prediction_id=outcome.prediction_id,
        item_id=id_message(outcome.item_id),
        type=outcome.type,
        value=outcome.value,
        time_us=outcome.time_us,
    )


def _outcome(message: pb.OutcomeEvent) -> Outcome:
    if not message.event_id:
        raise InvalidInput("an outcome without event_id")
    return Outcome(
        message.event_id,
        message.prediction_id,
        id_of(message.item_id, "item_id"),
        message.type,
        message.value,
        message.time_us,
    )


def _prediction_message(event: Prediction) -> pb.PredictionEvent:
    features = event.features
    message = pb.PredictionEvent(
        prediction_id=event.prediction_id,
        model=event.model,
        time_us=event.time_us,
        epoch=event.epoch,
        revision=event.revision,
        salt=event.salt,
        bucket=event.bucket,
        weight=event.weight,
        arm=pb.Arm.ValueType(event.arm.value),
        version=event.version,
        digest=event.digest,
        user_id=None if event.user_id is None else id_message(event.user_id),
        session_id=event.session_id,
        item_ids=[id_message(item) for item in event.item_ids],
        propensities=None if event.propensities is None else event.propensities.tolist(),
        scores=[pb.VersionScores(version=version, logits=logits.tolist()) for version, logits in event.scores.items()],
        features=pb.FeatureBlock(
            spec_digest=event.spec_digest,
            user_ids=features.user_ids.astype(_INT64, copy=False).tobytes(),
            user_numbers=features.user_numbers.astype(_FLOAT32, copy=False).tobytes(),
            item_ids=features.item_ids.astype(_INT64, copy=False).tobytes(),
            item_numbers=features.item_numbers.astype(_FLOAT32, copy=False).tobytes(),
        ),
        head=event.head,
    )
    if event.trace:
        message.trace_parent = event.trace
    return message


def _prediction(message: pb.PredictionEvent) -> Prediction:
    n = len(message.item_ids)
    items: tuple[ItemId, ...] = tuple(id_of(item, "item_id") for item in message.item_ids)
    if not message.prediction_id or not n:
        raise InvalidInput("a prediction without prediction_id or items")
    scores = {score.version: np.array(score.logits, np.float32) for score in message.scores}
    if any(logits.shape[0] != n for logits in scores.values()):
        raise InvalidInput(f"prediction {message.prediction_id}: scores do not fit its {n} items")
    return Prediction(
        prediction_id=message.prediction_id,
        model=message.model,
        time_us=message.time_us,
        epoch=message.epoch,
        revision=message.revision,
        salt=message.salt,
        bucket=message.bucket,
        weight=message.weight,
        arm=_arm(message),
        version=message.version,
        digest=message.digest,
        user_id=optional_id_of(message.user_id),
        session_id=message.session_id,
        item_ids=items,
        propensities=np.array(message.propensities, np.float32) if message.propensities else None,
        scores=scores,
        spec_digest=message.features.spec_digest,
        features=_block(message.features, n),
        head=message.head,
        trace=message.trace_parent,
    )


def _arm(message: pb.PredictionEvent) -> Arm:
    try:
        return Arm(message.arm)
    except ValueError as error:
        raise InvalidInput(f"prediction {message.prediction_id}: arm {message.arm} is not known") from error


def _block(message: pb.FeatureBlock, n: int) -> FeatureBlock:
    return FeatureBlock(
        _matrix(message.user_ids, _INT64, 1).astype(np.int64, copy=False),
        _matrix(message.user_numbers, _FLOAT32, 1).astype(np.float32, copy=False),
        _matrix(message.item_ids, _INT64, n).astype(np.int64, copy=False),
        _matrix(message.item_numbers, _FLOAT32, n).astype(np.float32, copy=False),
        np.zeros(n, np.int64),
    )


def _matrix(raw: bytes, dtype: np.dtype[np.generic], rows: int) -> npt.NDArray[np.generic]:
    if len(raw) % (rows * dtype.itemsize):
        raise InvalidInput(f"a feature block of {len(raw)} bytes does not hold {rows} rows")
    return np.frombuffer(raw, dtype).reshape(rows, len(raw) // (rows * dtype.itemsize))
