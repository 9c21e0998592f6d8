"""Client of serving: rank, recommend, and tell what came of it."""

from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Self

import grpc.aio

from martlet.client.channel import OPTIONS, CallPolicy, bearer, call
from martlet.events import LogPosition, Outcome
from martlet.exploration import Exploration
from martlet.feature_encoding import ItemId, RankInput, Value
from martlet.item_filter import ItemFilter
from martlet.v1 import events_pb2, events_pb2_grpc, serving_pb2, serving_pb2_grpc
from martlet.versions import ServableStatus
from martlet.wire import serving as wire
from martlet.wire.registry import status_of
from martlet.wire.serving import Ranking, RankQuery, RecommendQuery
from martlet.wire.values import id_message, id_messages, value_messages


class ServingClient:
    """Serving, from an event loop. Every call may be repeated without harm: a repeated outcome is the same outcome."""

    def __init__(self, address: str, token: str = "", policy: CallPolicy | None = None) -> None:
        self._channel = grpc.aio.insecure_channel(address, options=OPTIONS)
        self._serving = serving_pb2_grpc.ServingServiceStub(self._channel)
        self._events = events_pb2_grpc.EventsServiceStub(self._channel)
        self._metadata = bearer(token)
        self._policy = policy or CallPolicy()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def rank(
        self,
        model: str,
        user_id: ItemId | None,
        candidates: Mapping[ItemId, Mapping[str, Value]] | Iterable[ItemId],
        context: Mapping[str, Value] | None = None,
        *,
        session_id: str = "",
        version: int = 0,
    ) -> Ranking:
        """Orders the candidates for the user, best first. A mapping gives each candidate's features (`item.*`)."""
        known = candidates if isinstance(candidates, Mapping) else {item: {} for item in candidates}
        query = RankQuery(
            model, session_id, version, RankInput(user_id, context or {}, list(known), list(known.values()))
        )
        request = wire.rank_request(query)
        reply = await call(
            lambda timeout: self._serving.Rank(request, timeout=timeout, metadata=self._metadata), self._policy
        )
        return wire.ranking_of(reply)

    async def recommend(
        self,
        model: str,
        user_id: ItemId | None,
        k: int,
        context: Mapping[str, Value] | None = None,
        *,
        exclude: Iterable[ItemId] = (),
        filter: ItemFilter | None = None,
        exploration: Exploration | None = None,
        session_id: str = "",
        version: int = 0,
    ) -> Ranking:
        """The k best of the known items, best first."""
        query = RecommendQuery(model, session_id, version, user_id, dict(context or {}), k, frozenset(exclude), filter, exploration)
        request = wire.recommend_request(query)
        reply = await call(
            lambda timeout: self._serving.Recommend(request, timeout=timeout, metadata=self._metadata), self._policy
        )
        return wire.ranking_of(reply)

    async def record_outcomes(self, outcomes: Sequence[Outcome]) -> LogPosition:
        """Tells what users did; once this returns, it is on disk."""
        request = events_pb2.RecordOutcomesRequest(outcomes=[wire.outcome_message(outcome) for outcome in outcomes])
        reply = await call(
            lambda timeout: self._events.RecordOutcomes(request, timeout=timeout, metadata=self._metadata),
            self._policy,
        )
        return wire.position_of(reply.position)

    async def upsert_items(self, model: str, items: Mapping[ItemId, Mapping[str, Value]]) -> LogPosition:
        """Announces items, or changes their attributes."""
        messages = [
            events_pb2.Item(item_id=id_message(item), attributes=value_messages(values))
            for item, values in items.items()
        ]
        request = events_pb2.UpsertItemsRequest(model=model, items=messages)
        reply = await call(
            lambda timeout: self._events.UpsertItems(request, timeout=timeout, metadata=self._metadata), self._policy
        )
        return wire.position_of(reply.position)

    async def delete_items(self, model: str, items: Iterable[ItemId]) -> LogPosition:
        """Withdraws items."""
        request = events_pb2.DeleteItemsRequest(model=model, item_ids=id_messages(items))
        reply = await call(
            lambda timeout: self._events.DeleteItems(request, timeout=timeout, metadata=self._metadata), self._policy
        )
        return wire.position_of(reply.position)

    async def status(self) -> list[ServableStatus]:
        """The versions this replica holds."""
        request = serving_pb2.GetServingStatusRequest()
        reply = await call(
            lambda timeout: self._serving.GetServingStatus(request, timeout=timeout, metadata=self._metadata),
            self._policy,
        )
        return [status_of(status) for status in reply.servables]

    async def close(self) -> None:
        """Closes the channel."""
        await self._channel.close()
