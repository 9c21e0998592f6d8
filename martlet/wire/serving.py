"""Serving's messages to values and back."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from martlet.errors import InvalidInput
from martlet.events import Arm, LogPosition, Outcome
from martlet.exploration import BEST_FIRST, Exploration
from martlet.feature_encoding import ItemId, RankInput, Value
from martlet.item_filter import ItemFilter
from martlet.v1 import events_pb2, serving_pb2
from martlet.wire.item_filter import item_filter_message, item_filter_of
from martlet.wire.values import id_message, id_messages, id_of, optional_id_of, value_messages, values_of


@dataclass(frozen=True, slots=True)
class RankQuery:
    """A decoded rank request. `version` 0 leaves the choice to the traffic split.

    Attributes:
        exploration: None: as the replica is configured.
        task_weights: of a version of several tasks, what the score of each counts; none: as the version has it.
    """

    model: str
    session_id: str
    version: int
    input: RankInput
    exploration: Exploration | None = None
    task_weights: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RecommendQuery:
    """A decoded recommend request.

    Attributes:
        filter: which items may be answered; None: all on offer.
        exploration: None: as the replica is configured.
        task_weights: of a version of several tasks, what the score of each counts; none: as the version has it.
    """

    model: str
    session_id: str
    version: int
    user_id: ItemId | None
    context: dict[str, Value]
    k: int
    exclude: frozenset[ItemId]
    filter: ItemFilter | None = None
    exploration: Exploration | None = None
    task_weights: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ScoredItem:
    """One answered item. `score` is a probability, or the regression's value.

    Attributes:
        propensity: probability of this item at its position, given those above it; 1 without exploration.
    """

    item_id: ItemId
    score: float
    logit: float
    propensity: float = 1.0


@dataclass(frozen=True, slots=True)
class Ranking:
    """An answer, best first."""

    prediction_id: str
    model: str
    version: int
    digest: str
    arm: Arm
    items: tuple[ScoredItem, ...]


def rank_query(message: serving_pb2.RankRequest) -> RankQuery:
    """Decodes a request.

    Raises:
        InvalidInput: an empty or repeated candidate id, an empty feature value, a bad exploration or weight.
    """
    items = [id_of(candidate.item_id, "a candidate's item_id") for candidate in message.candidates]
    if not items:
        raise InvalidInput("candidates is empty")
    if len(set(items)) != len(items):
        raise InvalidInput("candidates has an item_id twice")
    return RankQuery(
        message.model,
        message.session_id,
        message.version,
        RankInput(
            optional_id_of(message.user_id),
            values_of(message.context),
            items,
            [values_of(candidate.features) for candidate in message.candidates],
        ),
        _exploration_of(message),
        _task_weights_of(message),
    )


def recommend_query(message: serving_pb2.RecommendRequest) -> RecommendQuery:
    """Decodes a request.

    Raises:
        InvalidInput: k is 0, an empty id or value, or a bad filter or exploration.
    """
    if message.k == 0:
        raise InvalidInput("k must be at least 1")
    return RecommendQuery(
        message.model,
        message.session_id,
        message.version,
        optional_id_of(message.user_id),
        values_of(message.context),
        message.k,
        frozenset(id_of(item, "an excluded item_id") for item in message.exclude),
        item_filter_of(message.filter) if message.HasField("filter") else None,
        _exploration_of(message),
        _task_weights_of(message),
    )


def _task_weights_of(message: serving_pb2.RankRequest | serving_pb2.RecommendRequest) -> dict[str, float]:
    weights = dict(message.task_weights)
    for task, weight in weights.items():
        if not np.isfinite(weight):
            raise InvalidInput(f"task_weights: the weight of {task!r} must be a number, not {weight}")
    return weights


def rank_response(ranking: Ranking) -> serving_pb2.RankResponse:
    """An answer as a message."""
    return serving_pb2.RankResponse(
        prediction_id=ranking.prediction_id,
        model=ranking.model,
        version=ranking.version,
        digest=ranking.digest,
        arm=events_pb2.Arm.ValueType(ranking.arm.value),
        items=_item_messages(ranking),
    )


def recommend_response(ranking: Ranking) -> serving_pb2.RecommendResponse:
    """An answer as a message."""
    return serving_pb2.RecommendResponse(
        prediction_id=ranking.prediction_id,
        model=ranking.model,
        version=ranking.version,
        digest=ranking.digest,
        arm=events_pb2.Arm.ValueType(ranking.arm.value),
        items=_item_messages(ranking),
    )


def ranking_of(message: serving_pb2.RankResponse | serving_pb2.RecommendResponse) -> Ranking:
    """An answer from a message."""
    items = tuple(
        ScoredItem(id_of(item.item_id, "item_id"), item.score, item.logit, item.propensity or 1.0)
        for item in message.items
    )
    return Ranking(message.prediction_id, message.model, message.version, message.digest, Arm(message.arm), items)


def rank_request(query: RankQuery) -> serving_pb2.RankRequest:
    """A request as a message."""
    candidates = [
        serving_pb2.Candidate(item_id=id_message(item), features=value_messages(values))
        for item, values in zip(query.input.item_ids, query.input.item_values, strict=True)
    ]
    user = query.input.user_id
    return serving_pb2.RankRequest(
        model=query.model,
        user_id=None if user is None else id_message(user),
        session_id=query.session_id,
        context=value_messages(query.input.context),
        candidates=candidates,
        version=query.version,
        exploration=_exploration_message(query.exploration),
        task_weights=query.task_weights,
    )


def recommend_request(query: RecommendQuery) -> serving_pb2.RecommendRequest:
    """A request as a message."""
    return serving_pb2.RecommendRequest(
        model=query.model,
        user_id=None if query.user_id is None else id_message(query.user_id),
        session_id=query.session_id,
        context=value_messages(query.context),
        k=query.k,
        exclude=id_messages(sorted(query.exclude, key=str)),
        version=query.version,
        filter=None if query.filter is None else item_filter_message(query.filter),
        exploration=_exploration_message(query.exploration),
        task_weights=query.task_weights,
    )


def outcome_of(message: events_pb2.Outcome, now_us: int) -> Outcome:
    """An outcome as a client sent it; an empty event_id is derived, an empty time is now.

    Raises:
        InvalidInput: prediction_id, item_id or type is missing, or the value is not finite.
    """
    item = id_of(message.item_id, "an outcome's item_id")
    if not message.prediction_id or not message.type:
        raise InvalidInput("an outcome needs prediction_id and type")
    if not np.isfinite(message.value):
        raise InvalidInput("an outcome's value must be finite")
    event_id = message.event_id or f"{message.prediction_id}/{item!r}/{message.type}"  # !r: 5 and "5" are two items
    return Outcome(event_id, message.prediction_id, item, message.type, message.value, message.time_us or now_us)


def outcome_message(outcome: Outcome) -> events_pb2.Outcome:
    """An outcome as a client sends it."""
    return events_pb2.Outcome(
        event_id=outcome.event_id,
        prediction_id=outcome.prediction_id,
        item_id=id_message(outcome.item_id),
        type=outcome.type,
        value=outcome.value,
        time_us=outcome.time_us,
    )


def position_message(position: LogPosition) -> events_pb2.LogPosition:
    """A log position as a message."""
    return events_pb2.LogPosition(partition=position.partition, offset=position.offset)


def position_of(message: events_pb2.LogPosition) -> LogPosition:
    """A log position from a message."""
    return LogPosition(message.partition, message.offset)


def scored_items(
    item_ids: tuple[ItemId, ...],
    scores: npt.NDArray[np.float32],
    logits: npt.NDArray[np.float32],
    propensities: npt.NDArray[np.float32] | None = None,
) -> tuple[ScoredItem, ...]:
    """Items with their scores, in the given order; without propensities they are 1."""
    if propensities is None:
        return tuple(map(ScoredItem, item_ids, scores.tolist(), logits.tolist()))
    return tuple(map(ScoredItem, item_ids, scores.tolist(), logits.tolist(), propensities.tolist()))


def _item_messages(ranking: Ranking) -> list[serving_pb2.ScoredItem]:
    return [
        serving_pb2.ScoredItem(
            item_id=id_message(item.item_id),
            score=item.score,
            logit=item.logit,
            propensity=0.0 if item.propensity == 1.0 else item.propensity,
        )
        for item in ranking.items
    ]


def _exploration_of(message: serving_pb2.RankRequest | serving_pb2.RecommendRequest) -> Exploration | None:
    if not message.HasField("exploration"):
        return None
    exploration = message.exploration
    kind = exploration.WhichOneof("kind")
    if kind == "epsilon":
        return Exploration(epsilon=exploration.epsilon)
    if kind == "temperature":
        return _at_temperature(exploration.temperature)
    if kind == "off" and exploration.off:
        return BEST_FIRST
    raise InvalidInput("exploration needs off, epsilon or temperature")


def _at_temperature(temperature: float) -> Exploration:
    if temperature == 0.0:
        raise InvalidInput("exploration: temperature must be above 0, not 0")
    return Exploration(temperature=temperature)


def _exploration_message(exploration: Exploration | None) -> serving_pb2.Exploration | None:
    if exploration is None:
        return None
    if exploration.temperature:
        return serving_pb2.Exploration(temperature=exploration.temperature)
    if exploration.epsilon:
        return serving_pb2.Exploration(epsilon=exploration.epsilon)
    return serving_pb2.Exploration(off=True)
