"""Events as values: what was answered, what came of it, what is on offer.

`martlet.wire.events` turns them into the log's bytes and back.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from martlet.feature_encoding import ItemId, Value
from martlet.feature_spec import FeatureBlock

SPLIT_BUCKETS = 10_000


class Arm(IntEnum):
    """Which part of the traffic split answered. The numbers are the wire's."""

    LIVE = 1
    PIN = 2
    CANARY = 3
    EXPLICIT = 4


@dataclass(frozen=True, slots=True)
class Prediction:
    """One answered request: enough to learn from and to judge by.

    Attributes:
        time_us: event time, microseconds since 1970-01-01 UTC.
        epoch, revision, salt, bucket, weight, arm: the traffic split as it stood.
        version, digest: the version that answered.
        item_ids: in the order answered; position i is the i-th. Feature rows stand in the same order.
        propensities: float32[n], probability of each item at its position.
        scores: {version: float32[n] logits}, the answering version's among them.
        spec_digest: the feature spec that lays `features` out.
        head: the live lane's head at that moment; 0: none apart from the pin.
        trace: the trace context of the answer, as in W3C's traceparent header; "": it was not traced.
    """

    prediction_id: str
    model: str
    time_us: int
    epoch: int
    revision: int
    salt: str
    bucket: int
    weight: int
    arm: Arm
    version: int
    digest: str
    user_id: ItemId | None
    session_id: str
    item_ids: tuple[ItemId, ...]
    propensities: npt.NDArray[np.float32] | None
    scores: Mapping[int, npt.NDArray[np.float32]]
    spec_digest: str
    features: FeatureBlock
    head: int = 0
    trace: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a user did about an item of a prediction. `event_id` makes it idempotent."""

    event_id: str
    prediction_id: str
    item_id: ItemId
    type: str
    value: float
    time_us: int


@dataclass(frozen=True, slots=True)
class ItemUpsert:
    """An item is on offer, with these attributes by source name (`item.*`)."""

    model: str
    item_id: ItemId
    attributes: Mapping[str, Value]
    time_us: int


@dataclass(frozen=True, slots=True)
class ItemDelete:
    """An item is on offer no more."""

    model: str
    item_id: ItemId
    time_us: int


Event = Prediction | Outcome | ItemUpsert | ItemDelete


@dataclass(frozen=True, slots=True)
class LogPosition:
    """A place in the event log: a byte offset of one writer's partition."""

    partition: str
    offset: int
