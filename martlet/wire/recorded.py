"""Records of the event log as the trainer reads them: the parts it needs at once, the rest when an outcome comes.

Feature values stay the raw bytes they are in the log until a batch is laid out, so that the path of one event makes few
Python objects.
"""

import math
from collections.abc import Sequence
from enum import Enum
from typing import Final

import numpy as np
import numpy.typing as npt
import xxhash
from google.protobuf.message import DecodeError

from martlet.errors import Corrupt, InvalidInput
from martlet.eventlog.erasure import is_erased
from martlet.events import Arm
from martlet.feature_encoding import ItemId
from martlet.feature_spec import FeatureLayout
from martlet.v1 import events_pb2 as pb
from martlet.wire.values import id_message, optional_id_of


class RecordKind(Enum):
    """What a log record is, for the trainer. Records of other kinds are not for it."""

    PREDICTION = "prediction"
    OUTCOME = "outcome"
    ITEM = "item"
    ERASED = "erased"
    UNKNOWN = "unknown"


# A record has one field, so its payload begins with that field's tag: number and wire type (2, a message) in one byte.
_ARMS: Final[dict[int, Arm]] = {arm.value: arm for arm in Arm}
_KIND_OF_TAG: Final = {
    pb.LogRecord.DESCRIPTOR.fields_by_name[name].number << 3 | 2: kind
    for name, kind in {
        "prediction": RecordKind.PREDICTION,
        "outcome": RecordKind.OUTCOME,
        "item_upsert": RecordKind.ITEM,
        "item_delete": RecordKind.ITEM,
    }.items()
}


def record_kind(payload: bytes) -> RecordKind:
    """The kind of a record, from its first byte."""
    if is_erased(payload):
        return RecordKind.ERASED
    return _KIND_OF_TAG.get(payload[0], RecordKind.UNKNOWN) if payload else RecordKind.UNKNOWN


def user_key_of(user_id: ItemId) -> int:
    """The `RecordedPrediction.user_key` of a user's predictions."""
    return _key_of(id_message(user_id))


class RecordedPrediction:
    """A prediction record, read part by part. Immutable.

    Attributes:
        prediction_id: as in `martlet.events.Prediction`.
        rows: number of items.

    Raises:
        Corrupt: not a prediction record.
        InvalidInput: without id or items.
    """

    __slots__ = ("_message", "_values", "prediction_id", "rows")

    def __init__(self, payload: bytes) -> None:
        try:
            message = pb.LogRecord.FromString(payload).prediction
        except DecodeError as error:
            raise Corrupt(f"not a log record: {error}") from error
        self._message = message
        self._values: tuple[type, list[ItemId]] = (int, [])
        self.prediction_id: str = message.prediction_id
        self.rows = len(message.item_ids)
        if not self.prediction_id or not self.rows:
            raise InvalidInput("a prediction without prediction_id or items")

    @property
    def model(self) -> str:
        """The model that was asked."""
        return self._message.model

    @property
    def time_us(self) -> int:
        """Event time, microseconds since 1970-01-01 UTC."""
        return self._message.time_us

    @property
    def spec_digest(self) -> str:
        """Digest of the feature spec that gives the features' layout."""
        return self._message.features.spec_digest

    @property
    def version(self) -> int:
        """The version that answered."""
        return self._message.version

    @property
    def arm(self) -> Arm | None:
        """The arm that answered, or None for a number that is not known here."""
        return _ARMS.get(self._message.arm)

    @property
    def digest(self) -> str:
        """Digest of the version that answered."""
        return self._message.digest

    @property
    def epoch(self) -> int:
        """The traffic split's epoch."""
        return self._message.epoch

    @property
    def weight(self) -> int:
        """The live lane's share in buckets of 10,000."""
        return self._message.weight

    @property
    def head(self) -> int:
        """The live lane's head; 0: none apart from the pin."""
        return self._message.head

    @property
    def trace(self) -> str:
        """The trace context of the answer, or ""."""
        return self._message.trace_parent

    @property
    def user_id(self) -> ItemId | None:
        """Who it was made for, if that was said."""
        return optional_id_of(self._message.user_id)

    @property
    def user_key(self) -> int:
        """Whose labels depend on each other: XXH3-64 of the user, else of the session, else of the prediction."""
        message = self._message
        if message.HasField("user_id"):
            return _key_of(message.user_id)
        if message.session_id:
            return xxhash.xxh3_64_intdigest(b"s" + message.session_id.encode())
        return xxhash.xxh3_64_intdigest(b"p" + self.prediction_id.encode())

    def lane_logits(self) -> npt.NDArray[np.float32]:
        """What the live lane's head gave: float32[rows]; the answering version's if that is not recorded."""
        head = self.scores().get(self.head) if self.head else None
        return self.logits() if head is None else head

    def scores(self) -> dict[int, npt.NDArray[np.float32]]:
        """What each recorded version gave: {version: float32[rows]}. A version whose scores do not fit is left out."""
        return {
            scores.version: np.array(scores.logits, np.float32)
            for scores in self._message.scores
            if len(scores.logits) == self.rows
        }

    @property
    def propensities(self) -> npt.NDArray[np.float32] | None:
        """Probability of each item at its position, float32[rows]; None: not recorded, or not for each item."""
        given = self._message.propensities
        return np.array(given, np.float32) if len(given) == self.rows else None

    def item_keys(self) -> npt.NDArray[np.uint64]:
        """XXH3-64 of each item's id, uint64[rows]; equal ids have equal ones."""
        keys = [xxhash.xxh3_64_intdigest(one.SerializeToString(deterministic=True)) for one in self._message.item_ids]
        return np.array(keys, np.uint64)

    @property
    def user_ids(self) -> bytes:
        """Little-endian int64, one row."""
        return self._message.features.user_ids

    @property
    def user_numbers(self) -> bytes:
        """Little-endian float32, one row."""
        return self._message.features.user_numbers

    @property
    def item_ids(self) -> bytes:
        """Little-endian int64, a row for each item."""
        return self._message.features.item_ids

    @property
    def item_numbers(self) -> bytes:
        """Little-endian float32, a row for each item."""
        return self._message.features.item_numbers

    def row_of(self, item_id: ItemId) -> int:
        """The row of an item, or -1."""
        items, values = self._message.item_ids, self._item_values(type(item_id))
        row = -1
        while item_id in values[row + 1 :]:  # an id of the other kind reads as "" or 0
            row = values.index(item_id, row + 1)
            if optional_id_of(items[row]) == item_id:
                return row
        return -1

    def _item_values(self, kind: type) -> list[ItemId]:
        """The items as texts or as numbers: kept, since a slate's outcomes come one after another."""
        known, values = self._values
        if known is not kind or not values:
            items = self._message.item_ids
            values = [one.text for one in items] if kind is str else [one.number for one in items]
            self._values = kind, values
        return values

    def logits(self) -> npt.NDArray[np.float32]:
        """What the answering version gave: float32[rows]; empty if it is not recorded."""
        return np.array(self._logits(), np.float32)

    def logits_at(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """What the answering version gave for some of the rows: float32[k]."""
        logits = self._logits()
        if 4 * rows.shape[0] > self.rows:
            return np.array(logits, np.float32)[rows]
        return np.array([logits[row] for row in rows.tolist()], np.float32)

    def _logits(self) -> Sequence[float]:
        version = self._message.version
        for scores in self._message.scores:
            if scores.version == version:
                return scores.logits
        return ()

    def check(self, layout: FeatureLayout) -> None:
        """Checks that logits and features fit the items and the layout, and hold no infinity.

        Raises:
            InvalidInput: they do not; the message says which.
        """
        self.check_scores()
        rows = self.rows
        parts = (self.user_ids, self.user_numbers, self.item_ids, self.item_numbers)
        sizes = tuple(map(len, parts))
        wanted = (
            8 * layout.user_id_columns,
            4 * layout.user_number_columns,
            8 * layout.item_id_columns * rows,
            4 * layout.item_number_columns * rows,
        )
        if sizes != wanted:
            raise InvalidInput(f"feature bytes {sizes} do not fit the layout's {wanted}")
        for numbers in parts[1::2]:
            if numbers and np.isinf(np.frombuffer(numbers, "<f4")).any():
                raise InvalidInput("a feature is infinite")

    def check_scores(self) -> None:
        """Checks that there is a finite logit of the answering version for each item.

        Raises:
            InvalidInput: there is not.
        """
        logits = self._logits()
        if len(logits) != self.rows or not all(map(math.isfinite, logits)):
            raise InvalidInput("the answering version's logits are not there for each item, or not finite")


def _key_of(user: pb.Id) -> int:
    return xxhash.xxh3_64_intdigest(b"u" + user.SerializeToString(deterministic=True))
