"""RegistryService over gRPC."""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor
from typing import Any, TypeVar

from martlet.errors import InvalidInput
from martlet.v1 import registry_pb2 as pb
from martlet.v1 import registry_pb2_grpc
from martlet.wire import registry as wire
from registry_svc.aspired_versions import AspiredVersions
from registry_svc.registry import Registry

R = TypeVar("R")


class RegistryServicer(registry_pb2_grpc.RegistryServiceServicer):
    """Runs the use cases in the registry's one thread."""

    def __init__(self, registry: Registry, aspired: AspiredVersions, thread: Executor, page_limit: int) -> None:
        self._registry = registry
        self._aspired = aspired
        self._thread = thread
        self._page_limit = page_limit

    async def PublishVersion(self, request: pb.PublishVersionRequest, context: Any) -> pb.PublishVersionResponse:
        """Offers a version."""
        record = await self._run(lambda: self._registry.publish(request.manifest))
        return pb.PublishVersionResponse(record=wire.record_message(record))

    async def GetVersion(self, request: pb.GetVersionRequest, context: Any) -> pb.GetVersionResponse:
        """One version."""
        record = await self._run(lambda: self._registry.version(request.model, request.version))
        return pb.GetVersionResponse(record=wire.record_message(record))

    async def ListVersions(self, request: pb.ListVersionsRequest, context: Any) -> pb.ListVersionsResponse:
        """A page of versions."""
        limit = min(request.page_size or self._page_limit, self._page_limit)
        records, more = await self._run(
            lambda: self._registry.versions(
                request.model, request.after_version, limit, with_manifests=request.with_manifests
            )
        )
        return pb.ListVersionsResponse(records=[wire.record_message(record) for record in records], more=more)

    async def GetLineage(self, request: pb.GetLineageRequest, context: Any) -> pb.GetLineageResponse:
        """Where a lineage stands."""
        return wire.lineage_message(await self._run(lambda: self._registry.lineage(request.model)))

    async def WatchAspired(
        self, request: pb.WatchAspiredRequest, context: Any
    ) -> AsyncIterator[pb.WatchAspiredResponse]:
        """The watched stream."""
        async for aspired in self._aspired.watch(list(request.models)):
            yield wire.aspired_message(aspired)

    async def ReportReplica(self, request: pb.ReportReplicaRequest, context: Any) -> pb.ReportReplicaResponse:
        """What a replica holds."""
        if not request.replica:
            raise InvalidInput("replica is empty")
        statuses = [wire.status_of(status) for status in request.servables]
        await self._run(lambda: self._registry.report_replica(request.replica, statuses))
        return pb.ReportReplicaResponse()

    async def ReportMeasurements(
        self, request: pb.ReportMeasurementsRequest, context: Any
    ) -> pb.ReportMeasurementsResponse:
        """Adds measurements."""
        batch = wire.measurements_of(request)
        await self._run(lambda: self._registry.report_measurements(batch))
        return pb.ReportMeasurementsResponse()

    async def _run(self, use_case: Callable[[], R]) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._thread, use_case)
