"""Clients of the registry: one for event loops, one for threads."""

from collections.abc import AsyncGenerator, Callable, Sequence

import grpc
import grpc.aio

from martlet.client.bearer import Token, bearer
from martlet.client.channel import BALANCED, CallPolicy, blocking_call, call, domain_error
from martlet.client.dialling import dial, dial_blocking
from martlet.client.tls import Plaintext, Tls
from martlet.evidence import EvidenceBatch
from martlet.measurement import MeasurementBatch
from martlet.v1 import registry_pb2 as pb
from martlet.v1 import registry_pb2_grpc
from martlet.versions import AspiredSet, Expiry, LineageState, ServableStatus, VersionRecord
from martlet.wire import registry as wire
from martlet.wire.evidence import evidence_message

EXPIRE_SECONDS = 120.0


class RegistryClient:
    """The registry, from an event loop. Every call here may be repeated without harm."""

    def __init__(
        self, address: str, token: Token = "", policy: CallPolicy | None = None, tls: Tls | Plaintext | None = None
    ) -> None:
        self._channel = dial(address, BALANCED, tls, token)
        self._stub = registry_pb2_grpc.RegistryServiceStub(self._channel)
        self._metadata = bearer(token)
        self._policy = policy or CallPolicy()

    async def publish(self, manifest: bytes) -> VersionRecord:
        """Offers a version; a refused one comes back with state REJECTED.

        Raises:
            Conflict: the lineage's head or epoch is another.
        """
        request = pb.PublishVersionRequest(manifest=manifest)
        reply = await call(
            lambda timeout: self._stub.PublishVersion(request, timeout=timeout, metadata=self._metadata), self._policy
        )
        return wire.record_of(reply.record)

    async def lineage(self, model: str) -> LineageState:
        """Where a model's lineage stands."""
        request = pb.GetLineageRequest(model=model)
        reply = await call(
            lambda timeout: self._stub.GetLineage(request, timeout=timeout, metadata=self._metadata), self._policy
        )
        return wire.lineage_of(reply)

    async def version(self, model: str, version: int) -> VersionRecord:
        """One version with its manifest.

        Raises:
            NotFound: there is none.
        """
        request = pb.GetVersionRequest(model=model, version=version)
        reply = await call(
            lambda timeout: self._stub.GetVersion(request, timeout=timeout, metadata=self._metadata), self._policy
        )
        return wire.record_of(reply.record)

    async def versions(self, model: str, *, with_manifests: bool = False) -> list[VersionRecord]:
        """All versions of a model, oldest first, page by page."""
        records: list[VersionRecord] = []
        while True:
            reply = await self._page(_listing(model, records, with_manifests=with_manifests))
            records.extend(wire.record_of(record) for record in reply.records)
            if not reply.more or not reply.records:
                return records

    async def _page(self, request: pb.ListVersionsRequest) -> pb.ListVersionsResponse:
        return await call(
            lambda timeout: self._stub.ListVersions(request, timeout=timeout, metadata=self._metadata), self._policy
        )

    async def watch(self, models: Sequence[str], replica: str) -> AsyncGenerator[AspiredSet, None]:
        """The watched stream of full aspired sets; ends with an error when the registry goes away."""
        request = pb.WatchAspiredRequest(models=models, replica=replica)
        try:
            async for message in self._stub.WatchAspired(request, metadata=self._metadata):
                yield wire.aspired_of(message)
        except grpc.aio.AioRpcError as error:
            raise domain_error(error) from None

    async def report_replica(self, replica: str, statuses: Sequence[ServableStatus]) -> None:
        """Tells what a replica holds."""
        request = wire.replica_message(replica, statuses)
        await call(
            lambda timeout: self._stub.ReportReplica(request, timeout=timeout, metadata=self._metadata), self._policy
        )

    async def report_measurements(self, batch: MeasurementBatch) -> None:
        """Adds measurements; a repeated (producer, sequence) does no harm."""
        request = wire.measurements_message(batch)
        await call(
            lambda timeout: self._stub.ReportMeasurements(request, timeout=timeout, metadata=self._metadata),
            self._policy,
        )

    async def report_evidence(self, batch: EvidenceBatch) -> None:
        """Adds evidence for the judge; a repeated (producer, sequence) does no harm."""
        request = evidence_message(batch)
        await call(
            lambda timeout: self._stub.ReportEvidence(request, timeout=timeout, metadata=self._metadata), self._policy
        )

    async def acknowledge_rewind(self, model: str, epoch: int, digest: str) -> None:
        """Tells that training stands where the pin was made.

        Raises:
            Conflict: another epoch, or another pin.
        """
        request = pb.AcknowledgeRewindRequest(model=model, epoch=epoch, digest=digest)
        await call(
            lambda timeout: self._stub.AcknowledgeRewind(request, timeout=timeout, metadata=self._metadata),
            self._policy,
        )

    async def close(self) -> None:
        """Closes the channel."""
        await self._channel.close()


class BlockingRegistryClient:
    """The registry, from a thread. Thread-safe.

    Args:
        trace: the trace context (W3C's traceparent) that goes along with a version; "": none.
    """

    def __init__(
        self,
        address: str,
        token: Token = "",
        policy: CallPolicy | None = None,
        tls: Tls | Plaintext | None = None,
        trace: Callable[[], str] | None = None,
    ) -> None:
        self._trace = trace
        self._channel = dial_blocking(address, BALANCED, tls, token)
        self._stub = registry_pb2_grpc.RegistryServiceStub(self._channel)
        self._metadata = bearer(token)
        self._policy = policy or CallPolicy()

    def publish(self, manifest: bytes) -> VersionRecord:
        """Offers a version (see `RegistryClient.publish`)."""
        request = pb.PublishVersionRequest(manifest=manifest)
        trace = self._trace() if self._trace is not None else ""
        metadata = (*self._metadata, ("traceparent", trace)) if trace else self._metadata
        reply = blocking_call(
            lambda timeout: self._stub.PublishVersion(request, timeout=timeout, metadata=metadata), self._policy
        )
        return wire.record_of(reply.record)

    def lineage(self, model: str) -> LineageState:
        """Where a model's lineage stands."""
        request = pb.GetLineageRequest(model=model)
        reply = blocking_call(
            lambda timeout: self._stub.GetLineage(request, timeout=timeout, metadata=self._metadata), self._policy
        )
        return wire.lineage_of(reply)

    def version(self, model: str, version: int) -> VersionRecord:
        """One version with its manifest (see `RegistryClient.version`)."""
        request = pb.GetVersionRequest(model=model, version=version)
        reply = blocking_call(
            lambda timeout: self._stub.GetVersion(request, timeout=timeout, metadata=self._metadata), self._policy
        )
        return wire.record_of(reply.record)

    def versions(self, model: str, *, with_manifests: bool = False) -> list[VersionRecord]:
        """All versions of a model, oldest first, page by page."""
        records: list[VersionRecord] = []
        while True:
            reply = self._page(_listing(model, records, with_manifests=with_manifests))
            records.extend(wire.record_of(record) for record in reply.records)
            if not reply.more or not reply.records:
                return records

    def _page(self, request: pb.ListVersionsRequest) -> pb.ListVersionsResponse:
        return blocking_call(
            lambda timeout: self._stub.ListVersions(request, timeout=timeout, metadata=self._metadata), self._policy
        )

    def report_replica(self, replica: str, statuses: Sequence[ServableStatus]) -> None:
        """Tells what a replica holds."""
        request = wire.replica_message(replica, statuses)
        blocking_call(
            lambda timeout: self._stub.ReportReplica(request, timeout=timeout, metadata=self._metadata), self._policy
        )

    def report_measurements(self, batch: MeasurementBatch) -> None:
        """Adds measurements; a repeated (producer, sequence) does no harm."""
        request = wire.measurements_message(batch)
        blocking_call(
            lambda timeout: self._stub.ReportMeasurements(request, timeout=timeout, metadata=self._metadata),
            self._policy,
        )

    def report_evidence(self, batch: EvidenceBatch) -> None:
        """Adds evidence for the judge (see `RegistryClient.report_evidence`)."""
        request = evidence_message(batch)
        blocking_call(
            lambda timeout: self._stub.ReportEvidence(request, timeout=timeout, metadata=self._metadata), self._policy
        )

    def acknowledge_rewind(self, model: str, epoch: int, digest: str) -> None:
        """Tells that training stands where the pin was made (see `RegistryClient.acknowledge_rewind`)."""
        request = pb.AcknowledgeRewindRequest(model=model, epoch=epoch, digest=digest)
        blocking_call(
            lambda timeout: self._stub.AcknowledgeRewind(request, timeout=timeout, metadata=self._metadata),
            self._policy,
        )

    def expire(self, model: str, below: int, who: str, why: str) -> Expiry:
        """Removes the artifacts of versions below a number; may take as long as that takes.

        Raises:
            Conflict: one of them is aspired.
        """
        request = pb.ExpireVersionsRequest(model=model, below_version=below, who=who, why=why)
        reply = blocking_call(
            lambda timeout: self._stub.ExpireVersions(request, timeout=timeout, metadata=self._metadata),
            CallPolicy(timeout=EXPIRE_SECONDS),
        )
        return Expiry(reply.versions, reply.artifacts, reply.bytes)

    def close(self) -> None:
        """Closes the channel."""
        self._channel.close()


def _listing(model: str, known: Sequence[VersionRecord], *, with_manifests: bool) -> pb.ListVersionsRequest:
    """The request for the page after what is known."""
    after = known[-1].version if known else 0
    return pb.ListVersionsRequest(model=model, with_manifests=with_manifests, after_version=after)
