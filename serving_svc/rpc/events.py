"""EventsService over gRPC."""

from typing import Any

import grpc.aio
from typing_extensions import override

from martlet.clock import Clock
from martlet.v1 import events_pb2 as pb
from martlet.v1 import events_pb2_grpc
from martlet.wire.serving import outcome_of, position_message
from martlet.wire.values import id_of, values_of
from serving_svc.event_intake import EventIntake

Context = grpc.aio.ServicerContext[Any, Any]


class EventsServicer(events_pb2_grpc.EventsServiceServicer):
    """Decode, call, encode. A request with one bad event is refused whole, before anything is written."""

    def __init__(self, intake: EventIntake, clock: Clock) -> None:
        self._intake = intake
        self._clock = clock

    @override
    async def RecordOutcomes(self, request: pb.RecordOutcomesRequest, context: Context) -> pb.RecordOutcomesResponse:
        """Writes outcomes."""
        now_us = self._clock.now_us()
        position = await self._intake.record_outcomes([outcome_of(outcome, now_us) for outcome in request.outcomes])
        return pb.RecordOutcomesResponse(position=position_message(position))

    @override
    async def UpsertItems(self, request: pb.UpsertItemsRequest, context: Context) -> pb.UpsertItemsResponse:
        """Announces items."""
        items = [(id_of(item.item_id, "an item's item_id"), values_of(item.attributes)) for item in request.items]
        position = await self._intake.upsert_items(request.model, items)
        return pb.UpsertItemsResponse(position=position_message(position))

    @override
    async def DeleteItems(self, request: pb.DeleteItemsRequest, context: Context) -> pb.DeleteItemsResponse:
        """Withdraws items."""
        items = [id_of(item, "an item_id") for item in request.item_ids]
        position = await self._intake.delete_items(request.model, items)
        return pb.DeleteItemsResponse(position=position_message(position))
