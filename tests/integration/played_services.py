"""Servicers that play a service: they keep what they were asked and answer what the test staged."""

import asyncio
from collections.abc import AsyncIterator

from martlet.errors import Conflict, NotFound
from martlet.v1 import (
    events_pb2,
    events_pb2_grpc,
    registry_pb2,
    registry_pb2_grpc,
    serving_pb2,
    serving_pb2_grpc,
    trainer_pb2,
    trainer_pb2_grpc,
)
from martlet.versions import AspiredModel, AspiredSet, AspiredVersion, LineageState, Role, VersionRecord
from martlet.wire import registry as wire
from martlet.wire.trainer import TrainerStatus, trainer_status_message

ASPIRED = AspiredSet(
    (
        AspiredModel(
            "shop",
            1,
            5,
            "salt",
            (AspiredVersion(3, "c" * 64, Role.HEAD, 9000), AspiredVersion(1, "a" * 64, Role.PIN, 1000)),
        ),
    ),
    lease_ms=5000,
)
LINEAGE = LineageState("shop", 1, 5, 3, "c" * 64, 1, "a" * 64)
STATUS = TrainerStatus(
    "shop", 1, 40, {"serving-0": 4096}, 90, 1, 2, 3, 4, "c" * 64, 3, 30, {"auc": 0.7, "logloss": float("nan")}, "s"
)
PAGE = 2


class PlayedRegistry(registry_pb2_grpc.RegistryServiceServicer):
    """A catalog in a list; `ended` ends its streams, `stream_error` breaks them after the first set."""

    def __init__(self) -> None:
        self.records: list[VersionRecord] = []
        self.reports: list[registry_pb2.ReportReplicaRequest] = []
        self.measurements: list[registry_pb2.ReportMeasurementsRequest] = []
        self.watches: list[registry_pb2.WatchAspiredRequest] = []
        self.ended = asyncio.Event()
        self.stream_error: Exception | None = None

    async def PublishVersion(
        self, request: registry_pb2.PublishVersionRequest, context: object
    ) -> registry_pb2.PublishVersionResponse:
        if request.manifest == b"late":
            raise Conflict("the head is another")
        record = next(record for record in self.records if record.manifest == request.manifest)
        return registry_pb2.PublishVersionResponse(record=wire.record_message(record))

    async def GetVersion(
        self, request: registry_pb2.GetVersionRequest, context: object
    ) -> registry_pb2.GetVersionResponse:
        for record in self.records:
            if (record.model, record.version) == (request.model, request.version):
                return registry_pb2.GetVersionResponse(record=wire.record_message(record))
        raise NotFound(f"no version {request.version} of {request.model}")

    async def ListVersions(
        self, request: registry_pb2.ListVersionsRequest, context: object
    ) -> registry_pb2.ListVersionsResponse:
        after = [record for record in self.records if record.version > request.after_version]
        return registry_pb2.ListVersionsResponse(
            records=[wire.record_message(record) for record in after[:PAGE]], more=len(after) > PAGE
        )

    async def GetLineage(
        self, request: registry_pb2.GetLineageRequest, context: object
    ) -> registry_pb2.GetLineageResponse:
        if request.model != LINEAGE.model:
            raise NotFound(f"no model {request.model}")
        return wire.lineage_message(LINEAGE)

    async def WatchAspired(
        self, request: registry_pb2.WatchAspiredRequest, context: object
    ) -> AsyncIterator[registry_pb2.WatchAspiredResponse]:
        self.watches.append(request)
        yield wire.aspired_message(ASPIRED)
        if self.stream_error is not None:
            raise self.stream_error
        await self.ended.wait()

    async def ReportReplica(
        self, request: registry_pb2.ReportReplicaRequest, context: object
    ) -> registry_pb2.ReportReplicaResponse:
        self.reports.append(request)
        return registry_pb2.ReportReplicaResponse()

    async def ReportMeasurements(
        self, request: registry_pb2.ReportMeasurementsRequest, context: object
    ) -> registry_pb2.ReportMeasurementsResponse:
        self.measurements.append(request)
        return registry_pb2.ReportMeasurementsResponse()


class PlayedServing(serving_pb2_grpc.ServingServiceServicer):
    """Answers candidates in the order in which they came."""

    def __init__(self) -> None:
        self.ranked: list[serving_pb2.RankRequest] = []
        self.recommended: list[serving_pb2.RecommendRequest] = []

    async def Rank(self, request: serving_pb2.RankRequest, context: object) -> serving_pb2.RankResponse:
        self.ranked.append(request)
        items = [
            serving_pb2.ScoredItem(item_id=candidate.item_id, score=0.5, logit=0.0) for candidate in request.candidates
        ]
        return serving_pb2.RankResponse(
            prediction_id="p-1", model=request.model, version=3, digest="c", arm=events_pb2.ARM_LIVE, items=items
        )

    async def Recommend(self, request: serving_pb2.RecommendRequest, context: object) -> serving_pb2.RecommendResponse:
        self.recommended.append(request)
        items = [serving_pb2.ScoredItem(item_id=events_pb2.Id(number=number), score=0.5) for number in range(request.k)]
        return serving_pb2.RecommendResponse(
            prediction_id="p-2", model=request.model, version=1, digest="a", arm=events_pb2.ARM_PIN, items=items
        )

    async def GetServingStatus(
        self, request: serving_pb2.GetServingStatusRequest, context: object
    ) -> serving_pb2.GetServingStatusResponse:
        held = serving_pb2.ServableStatus(
            model="shop", version=3, digest="c" * 64, state=serving_pb2.VERSION_STATE_READY, requests=12
        )
        return serving_pb2.GetServingStatusResponse(replica="serving-0", servables=[held])


class PlayedEvents(events_pb2_grpc.EventsServiceServicer):
    """Keeps events, and says that they stand at growing positions."""

    def __init__(self) -> None:
        self.requests: list[
            events_pb2.RecordOutcomesRequest | events_pb2.UpsertItemsRequest | events_pb2.DeleteItemsRequest
        ] = []

    async def RecordOutcomes(
        self, request: events_pb2.RecordOutcomesRequest, context: object
    ) -> events_pb2.RecordOutcomesResponse:
        return events_pb2.RecordOutcomesResponse(position=self._keep(request))

    async def UpsertItems(
        self, request: events_pb2.UpsertItemsRequest, context: object
    ) -> events_pb2.UpsertItemsResponse:
        return events_pb2.UpsertItemsResponse(position=self._keep(request))

    async def DeleteItems(
        self, request: events_pb2.DeleteItemsRequest, context: object
    ) -> events_pb2.DeleteItemsResponse:
        return events_pb2.DeleteItemsResponse(position=self._keep(request))

    def _keep(
        self, request: events_pb2.RecordOutcomesRequest | events_pb2.UpsertItemsRequest | events_pb2.DeleteItemsRequest
    ) -> events_pb2.LogPosition:
        self.requests.append(request)
        return events_pb2.LogPosition(partition="serving-0", offset=len(self.requests))


class PlayedTrainer(trainer_pb2_grpc.TrainerServiceServicer):
    """Stands where `STATUS` says; `held` makes it take its time."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.held = False

    async def GetTrainerStatus(
        self, request: trainer_pb2.GetTrainerStatusRequest, context: object
    ) -> trainer_pb2.GetTrainerStatusResponse:
        self.entered.set()
        if self.held:
            await asyncio.sleep(60)
        return trainer_status_message(STATUS)
