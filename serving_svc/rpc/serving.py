"""ServingService over gRPC."""

from collections.abc import Callable
from typing import Any

import grpc.aio
from typing_extensions import override

from martlet.clock import Clock
from martlet.v1 import serving_pb2 as pb
from martlet.v1 import serving_pb2_grpc
from martlet.versions import ServableStatus
from martlet.wire import explaining
from martlet.wire import serving as wire
from martlet.wire.registry import status_message
from serving_svc.explainer import Explainer
from serving_svc.inference import Inference
from serving_svc.rpc.deadlines import deadline_of

Context = grpc.aio.ServicerContext[Any, Any]


class ServingServicer(serving_pb2_grpc.ServingServiceServicer):
    """Decode, call, encode."""

    def __init__(
        self,
        inference: Inference,
        explainer: Explainer,
        statuses: Callable[[], tuple[ServableStatus, ...]],
        replica: str,
        clock: Clock,
    ) -> None:
        self._inference = inference
        self._explainer = explainer
        self._statuses = statuses
        self._replica = replica
        self._clock = clock

    @override
    async def Rank(self, request: pb.RankRequest, context: Context) -> pb.RankResponse:
        """Orders the caller's candidates."""
        ranking = await self._inference.rank(wire.rank_query(request), deadline_of(context, self._clock))
        return wire.rank_response(ranking)

    @override
    async def Recommend(self, request: pb.RecommendRequest, context: Context) -> pb.RecommendResponse:
        """Chooses k of the items on offer."""
        ranking = await self._inference.recommend(wire.recommend_query(request), deadline_of(context, self._clock))
        return wire.recommend_response(ranking)

    @override
    async def Explain(self, request: pb.ExplainRequest, context: Context) -> pb.ExplainResponse:
        """Says what each feature did to an item's logit."""
        query = explaining.explain_query(request)
        return explaining.explain_response(await self._explainer.explain(query, deadline_of(context, self._clock)))

    @override
    async def GetServingStatus(
        self, request: pb.GetServingStatusRequest, context: Context
    ) -> pb.GetServingStatusResponse:
        """Lists versions and their states."""
        servables = [status_message(status) for status in self._statuses()]
        return pb.GetServingStatusResponse(replica=self._replica, servables=servables)
