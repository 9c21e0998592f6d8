"""What both clients of serving ask: arguments to messages. Pure."""

from collections.abc import Iterable, Mapping, Sequence

from martlet.errors import InvalidInput
from martlet.events import Outcome
from martlet.exploration import Exploration
from martlet.feature_encoding import ItemId, RankInput, Value
from martlet.item_filter import ItemFilter
from martlet.v1 import events_pb2, serving_pb2
from martlet.wire import explaining
from martlet.wire import serving as wire
from martlet.wire.explaining import ExplainQuery
from martlet.wire.serving import Ranking, RankQuery, RecommendQuery
from martlet.wire.values import id_message, id_messages, value_messages

Values = Mapping[str, Value]


def rank_request(
    model: str,
    user_id: ItemId | None,
    candidates: Mapping[ItemId, Values] | Iterable[ItemId],
    context: Values | None,
    exploration: Exploration | None,
    session_id: str,
    version: int,
    task_weights: Mapping[str, float] | None = None,
) -> serving_pb2.RankRequest:
    """Bare candidates have no features of their own."""
    known = candidates if isinstance(candidates, Mapping) else {item: {} for item in candidates}
    asked = RankInput(user_id, context or {}, list(known), list(known.values()))
    return wire.rank_request(RankQuery(model, session_id, version, asked, exploration, task_weights or {}))


def recommend_request(
    model: str,
    user_id: ItemId | None,
    k: int,
    context: Values | None,
    exclude: Iterable[ItemId],
    only: ItemFilter | None,
    exploration: Exploration | None,
    session_id: str,
    version: int,
    task_weights: Mapping[str, float] | None = None,
) -> serving_pb2.RecommendRequest:
    """What may be recommended: `only` what the filter lets through, nothing of `exclude`."""
    context = dict(context or {})
    query = RecommendQuery(
        model, session_id, version, user_id, context, k, frozenset(exclude), only, exploration, task_weights or {}
    )
    return wire.recommend_request(query)


def explain_request(
    model: str,
    user_id: ItemId | None,
    item_id: ItemId,
    context: Values | None,
    features: Values | None,
    permutations: int,
    seed: int,
    session_id: str,
    version: int,
) -> serving_pb2.ExplainRequest:
    """`features`: of the item; what they leave out comes from its known attributes."""
    return explaining.explain_request(
        ExplainQuery(model, session_id, version, user_id, context or {}, item_id, features or {}, permutations, seed)
    )


def record_request(outcomes: Sequence[Outcome]) -> events_pb2.RecordOutcomesRequest:
    """Outcomes."""
    return events_pb2.RecordOutcomesRequest(outcomes=[wire.outcome_message(outcome) for outcome in outcomes])


def upsert_request(model: str, items: Mapping[ItemId, Values]) -> events_pb2.UpsertItemsRequest:
    """Items with their attributes."""
    messages = [
        events_pb2.Item(item_id=id_message(item), attributes=value_messages(values)) for item, values in items.items()
    ]
    return events_pb2.UpsertItemsRequest(model=model, items=messages)


def delete_request(model: str, items: Iterable[ItemId]) -> events_pb2.DeleteItemsRequest:
    """Items to withdraw."""
    return events_pb2.DeleteItemsRequest(model=model, item_ids=id_messages(items))


def outcome_for(ranking: Ranking, item: ItemId, kind: str, value: float, event_id: str, time_us: int) -> Outcome:
    """The outcome of an answered item.

    Without an event id, it is made of prediction, item and type: telling the same thing twice is telling it once.

    Raises:
        InvalidInput: the item is not in the answer.
    """
    if not any(scored.item_id == item for scored in ranking.items):
        raise InvalidInput(f"item {item!r} is not in the answer {ranking.prediction_id!r}")
    own = event_id or f"{ranking.prediction_id}/{item!r}/{kind}"
    return Outcome(own, ranking.prediction_id, item, kind, value, time_us)
