"""All services played in one process, behind the real server."""

from prometheus_client import CollectorRegistry

from martlet.runtime.auth import Authorizer
from martlet.runtime.config import AuthConfig
from martlet.runtime.server import Listen, Server
from martlet.v1 import events_pb2_grpc, registry_pb2_grpc, serving_pb2_grpc, trainer_pb2_grpc
from tests.integration.played_services import PlayedEvents, PlayedRegistry, PlayedServing, PlayedTrainer


class PlayedStage:
    """A running server with every servicer."""

    def __init__(
        self,
        auth: AuthConfig | None = None,
        port: int = 0,
        registry: PlayedRegistry | None = None,
        serving: PlayedServing | None = None,
    ) -> None:
        self.registry, self.serving = registry or PlayedRegistry(), serving or PlayedServing()
        self.events = PlayedEvents()
        self.trainer = PlayedTrainer()
        self.collectors = CollectorRegistry()
        listen = Listen("127.0.0.1", port, 0)
        self.server = Server("played", listen, self.collectors, Authorizer(auth or AuthConfig()))
        self.server.add(
            "martlet.v1.RegistryService",
            lambda to: registry_pb2_grpc.add_RegistryServiceServicer_to_server(self.registry, to),
        )
        self.server.add(
            "martlet.v1.ServingService",
            lambda to: serving_pb2_grpc.add_ServingServiceServicer_to_server(self.serving, to),
        )
        self.server.add(
            "martlet.v1.EventsService", lambda to: events_pb2_grpc.add_EventsServiceServicer_to_server(self.events, to)
        )
        self.server.add(
            "martlet.v1.TrainerService",
            lambda to: trainer_pb2_grpc.add_TrainerServiceServicer_to_server(self.trainer, to),
        )

    async def start(self) -> "PlayedStage":
        """Starts, and says that it serves."""
        await self.server.start()
        await self.server.set_serving(serving=True)
        return self

    async def stop(self) -> None:
        """Ends its streams, then stops."""
        self.registry.ended.set()
        await self.server.stop(1)

    @property
    def address(self) -> str:
        """Where it answers."""
        return f"127.0.0.1:{self.server.grpc_port}"

    def sample(self, name: str, **labels: str) -> float | None:
        """A metric's value."""
        return self.collectors.get_sample_value(name, labels)
