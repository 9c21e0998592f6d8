"""A running server whose trainer service says who called, for tests of the door."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prometheus_client import CollectorRegistry

from martlet.runtime.auth import Authorizer
from martlet.runtime.caller import caller
from martlet.runtime.config import AuthConfig
from martlet.runtime.server import Listen, Server
from martlet.runtime.server_tls import server_tls
from martlet.runtime.tls_config import TlsConfig
from martlet.v1 import trainer_pb2 as pb
from martlet.v1 import trainer_pb2_grpc

SERVICE = "martlet.v1.TrainerService"


class NamingTrainer(trainer_pb2_grpc.TrainerServiceServicer):
    """Answers with the caller's name as the model."""

    async def GetTrainerStatus(
        self, request: pb.GetTrainerStatusRequest, context: object
    ) -> pb.GetTrainerStatusResponse:
        return pb.GetTrainerStatusResponse(model=caller())


@asynccontextmanager
async def secured(
    tls: TlsConfig, auth: AuthConfig | None = None, listen: Listen | None = None
) -> AsyncIterator[Server]:
    """A server with these doors, on loopback."""
    locks = server_tls(tls, "127.0.0.1")
    authorizer = Authorizer(auth or AuthConfig(), mutual=locks is not None and locks.mutual)
    server = Server("trainer", listen or Listen("127.0.0.1", 0, 0), CollectorRegistry(), authorizer, locks)
    server.add(SERVICE, lambda to: trainer_pb2_grpc.add_TrainerServiceServicer_to_server(NamingTrainer(), to))
    await server.start()
    try:
        yield server
    finally:
        await server.stop(0)
