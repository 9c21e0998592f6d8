"""A registry that aspires to whatever it is told, sound or not, and hears what became of it.

The real registry's admission would keep broken versions from serving; here they are aspired on purpose.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Collection
from typing import Any, Final

import grpc.aio

from martlet.v1 import registry_pb2 as pb
from martlet.v1 import registry_pb2_grpc
from martlet.versions import AspiredModel, AspiredSet, AspiredVersion, Role, VersionState
from martlet.wire import registry as wire

LEASE_MS: Final = 600_000
ALL: Final = 10_000
PATIENCE: Final = 30.0  # seconds between two reports; a replica reports each second


class ToldRegistry(registry_pb2_grpc.RegistryServiceServicer):
    """One model's aspired set. Lives on one event loop.

    Attributes:
        states: version → the state that the replica reported last.
        told: version → monotonic seconds when it was aspired first.
    """

    def __init__(self, model: str) -> None:
        self._model = model
        self._set = AspiredSet((), LEASE_MS)
        self._revision = 0
        self._moved = asyncio.Event()
        self._heard = asyncio.Event()
        self.states: dict[int, VersionState] = {}
        self.told: dict[int, float] = {}

    def aspire(self, pin: tuple[int, str], head: tuple[int, str] | None = None) -> None:
        """The head answers everybody; without one the pin does. Both are (version, digest)."""
        self._revision += 1
        versions = [AspiredVersion(*pin, Role.PIN, 0 if head else ALL)]
        if head is not None:
            versions.insert(0, AspiredVersion(*head, Role.HEAD, ALL))
        aspired = AspiredModel(self._model, 1, self._revision, "salt", tuple(versions))
        self._set = AspiredSet((aspired,), LEASE_MS)
        self.told.setdefault((head or pin)[0], time.monotonic())
        self._moved.set()

    async def settled(self, version: int, states: Collection[VersionState]) -> VersionState:
        """The version's state, as soon as the replica reports one of these."""
        while self.states.get(version) not in states:
            self._heard.clear()
            await asyncio.wait_for(self._heard.wait(), PATIENCE)
        return self.states[version]

    async def WatchAspired(
        self, request: pb.WatchAspiredRequest, context: Any
    ) -> AsyncIterator[pb.WatchAspiredResponse]:
        """The set as it stands, and after each change."""
        sent = -1
        while True:
            moved = self._moved
            if sent != self._revision:
                sent = self._revision
                yield wire.aspired_message(self._set)
            await moved.wait()
            if self._moved is moved:
                self._moved = asyncio.Event()

    async def ReportReplica(self, request: pb.ReportReplicaRequest, context: Any) -> pb.ReportReplicaResponse:
        """What a replica holds."""
        for status in request.servables:
            self.states[status.version] = VersionState(status.state)
        self._heard.set()
        return pb.ReportReplicaResponse()

    async def ReportMeasurements(
        self, request: pb.ReportMeasurementsRequest, context: Any
    ) -> pb.ReportMeasurementsResponse:
        """Forgets them."""
        return pb.ReportMeasurementsResponse()


async def started(registry: ToldRegistry) -> tuple[grpc.aio.Server, str]:
    """Listens on a free port: the server and its address."""
    server = grpc.aio.server()
    registry_pb2_grpc.add_RegistryServiceServicer_to_server(registry, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return server, f"127.0.0.1:{port}"
