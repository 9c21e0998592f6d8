"""RegistryService over gRPC: decode, call, encode."""

from collections.abc import AsyncIterator
from typing import Any

from martlet.runtime.caller import caller
from martlet.v1 import registry_pb2 as pb
from martlet.v1 import registry_pb2_grpc
from martlet.wire import registry as wire
from martlet.wire.evidence import evidence_of
from registry_svc.registry import Registry
from registry_svc.retention import Order
from registry_svc.rpc.publish_traces import PublishTraces


class RegistryServicer(registry_pb2_grpc.RegistryServiceServicer):
    """Errors become statuses in the server's interceptor."""

    def __init__(self, registry: Registry, traces: PublishTraces | None = None) -> None:
        self._registry = registry
        self._traces = traces

    async def PublishVersion(self, request: pb.PublishVersionRequest, context: Any) -> pb.PublishVersionResponse:
        """Offers a version."""
        if self._traces is not None:
            self._traces.publishing(request.manifest)
        record = await self._registry.publish(request.manifest, caller())
        return pb.PublishVersionResponse(record=wire.record_message(record))

    async def GetVersion(self, request: pb.GetVersionRequest, context: Any) -> pb.GetVersionResponse:
        """One version with its manifest."""
        record = await self._registry.version(request.model, request.version)
        return pb.GetVersionResponse(record=wire.record_message(record))

    async def ListVersions(self, request: pb.ListVersionsRequest, context: Any) -> pb.ListVersionsResponse:
        """A page of versions."""
        records, more = await self._registry.versions(
            request.model, request.after_version, request.page_size, with_manifests=request.with_manifests
        )
        return pb.ListVersionsResponse(records=[wire.record_message(record) for record in records], more=more)

    async def GetLineage(self, request: pb.GetLineageRequest, context: Any) -> pb.GetLineageResponse:
        """Where a lineage stands."""
        return wire.lineage_message(await self._registry.lineage(request.model))

    async def WatchAspired(
        self, request: pb.WatchAspiredRequest, context: Any
    ) -> AsyncIterator[pb.WatchAspiredResponse]:
        """The watched stream."""
        async for aspired in self._registry.watch(frozenset(request.models)):
            message = wire.aspired_message(aspired)
            yield message if self._traces is None else self._traces.tell(message)

    async def ReportReplica(self, request: pb.ReportReplicaRequest, context: Any) -> pb.ReportReplicaResponse:
        """What a replica holds."""
        statuses = wire.statuses_of(request.servables)
        await self._registry.report_replica(request.replica, statuses)
        return pb.ReportReplicaResponse()

    async def ReportMeasurements(
        self, request: pb.ReportMeasurementsRequest, context: Any
    ) -> pb.ReportMeasurementsResponse:
        """Adds measurements, once."""
        await self._registry.report_measurements(wire.measurements_of(request))
        return pb.ReportMeasurementsResponse()

    async def ReportEvidence(self, request: pb.ReportEvidenceRequest, context: Any) -> pb.ReportEvidenceResponse:
        """Judges a batch of evidence, once."""
        await self._registry.report_evidence(evidence_of(request))
        return pb.ReportEvidenceResponse()

    async def AcknowledgeRewind(
        self, request: pb.AcknowledgeRewindRequest, context: Any
    ) -> pb.AcknowledgeRewindResponse:
        """The trainer stands at the head again."""
        await self._registry.acknowledge_rewind(request.model, request.epoch, request.digest)
        return pb.AcknowledgeRewindResponse()

    async def ExpireVersions(self, request: pb.ExpireVersionsRequest, context: Any) -> pb.ExpireVersionsResponse:
        """Removes the artifacts of old versions."""
        order = Order(request.model, request.below_version, request.who, request.why, caller())
        gone = await self._registry.expire(order)
        return pb.ExpireVersionsResponse(versions=gone.versions, artifacts=gone.artifacts, bytes=gone.bytes)
