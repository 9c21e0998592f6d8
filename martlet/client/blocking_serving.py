"""Client of serving for threads; `martlet.client.serving` without the event loop."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

from martlet.client import serving_requests as requests
from martlet.client.answer import BlockingAnswer, blocking_answer_of
from martlet.client.bearer import Token, bearer
from martlet.client.channel import BALANCED, SERVING_POLICY, CallPolicy, blocking_call
from martlet.client.dialling import dial_blocking
from martlet.client.serving_requests import Values
from martlet.client.tls import Plaintext, Tls
from martlet.events import LogPosition, Outcome
from martlet.explanation import Explanation
from martlet.exploration import Exploration
from martlet.feature_encoding import ItemId
from martlet.item_filter import ItemFilter
from martlet.v1 import events_pb2_grpc, serving_pb2, serving_pb2_grpc
from martlet.versions import ServableStatus
from martlet.wire import serving as wire
from martlet.wire.explaining import explanation_of
from martlet.wire.registry import statuses_of

R = TypeVar("R")


class BlockingServingClient:
    """Serving, from any number of threads. Retries and balancing as `ServingClient` has them."""

    def __init__(
        self, address: str, token: Token = "", policy: CallPolicy | None = None, tls: Tls | Plaintext | None = None
    ) -> None:
        self._channel = dial_blocking(address, BALANCED, tls, token)
        self._serving = serving_pb2_grpc.ServingServiceStub(self._channel)
        self._events = events_pb2_grpc.EventsServiceStub(self._channel)
        self._metadata = bearer(token)
        self._policy = policy or SERVING_POLICY

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def rank(
        self,
        model: str,
        user_id: ItemId | None,
        candidates: Mapping[ItemId, Values] | Iterable[ItemId],
        context: Values | None = None,
        *,
        exploration: Exploration | None = None,
        session_id: str = "",
        version: int = 0,
        task_weights: Mapping[str, float] | None = None,
    ) -> BlockingAnswer:
        """Orders the candidates for the user, best first. A mapping gives each candidate's features (`item.*`).

        `task_weights`: of a version of several tasks, what the score of each counts; None: as the version has it.
        """
        request = requests.rank_request(
            model, user_id, candidates, context, exploration, session_id, version, task_weights
        )
        return self._answer(self._call(self._serving.Rank, request))

    def recommend(
        self,
        model: str,
        user_id: ItemId | None,
        k: int,
        context: Values | None = None,
        *,
        exclude: Iterable[ItemId] = (),
        only: ItemFilter | None = None,
        exploration: Exploration | None = None,
        session_id: str = "",
        version: int = 0,
        task_weights: Mapping[str, float] | None = None,
    ) -> BlockingAnswer:
        """The k best of the items on offer, best first; fewer if fewer are allowed.

        Args:
            model: its name.
            user_id: None: nobody in particular.
            k: how many are wanted.
            context: user-side and context features by source name.
            exclude: items that must not be answered.
            only: which may be, by their attributes (see `martlet.item_filter`).
            exploration: None: as the replica is configured.
            session_id: keeps a session with one version; empty: the user is the session.
            version: 0: the traffic split chooses.
            task_weights: of a version of several tasks, what the score of each counts; None: as the version has it.
        """
        request = requests.recommend_request(
            model, user_id, k, context, exclude, only, exploration, session_id, version, task_weights
        )
        return self._answer(self._call(self._serving.Recommend, request))

    def explain(
        self,
        model: str,
        user_id: ItemId | None,
        item_id: ItemId,
        context: Values | None = None,
        *,
        features: Values | None = None,
        permutations: int = 0,
        seed: int = 0,
        session_id: str = "",
        version: int = 0,
    ) -> Explanation:
        """What each feature did to the item's logit; with `permutations`, Shapley values too."""
        request = requests.explain_request(
            model, user_id, item_id, context, features, permutations, seed, session_id, version
        )
        return explanation_of(self._call(self._serving.Explain, request))

    def record_outcomes(self, outcomes: Sequence[Outcome]) -> LogPosition:
        """Tells what users did; once this returns, it is on disk."""
        reply = self._call(self._events.RecordOutcomes, requests.record_request(outcomes))
        return wire.position_of(reply.position)

    def upsert_items(self, model: str, items: Mapping[ItemId, Values]) -> LogPosition:
        """Announces items, or changes their attributes."""
        reply = self._call(self._events.UpsertItems, requests.upsert_request(model, items))
        return wire.position_of(reply.position)

    def delete_items(self, model: str, items: Iterable[ItemId]) -> LogPosition:
        """Withdraws items."""
        reply = self._call(self._events.DeleteItems, requests.delete_request(model, items))
        return wire.position_of(reply.position)

    def status(self) -> list[ServableStatus]:
        """The versions this replica holds."""
        reply = self._call(self._serving.GetServingStatus, serving_pb2.GetServingStatusRequest())
        return statuses_of(reply.servables)

    def close(self) -> None:
        """Closes the channel."""
        self._channel.close()

    def _answer(self, reply: serving_pb2.RankResponse | serving_pb2.RecommendResponse) -> BlockingAnswer:
        return blocking_answer_of(wire.ranking_of(reply), self.record_outcomes)

    def _call(self, method: Callable[..., R], request: Any) -> R:
        return blocking_call(lambda timeout: method(request, timeout=timeout, metadata=self._metadata), self._policy)
