"""A service process whose calls take a while: `python -m tests.integration.slow_service [--ports-file FILE]`.

It has what a real one has: an orderly end, streams that it ends itself, and something to close after the last request.
"""

import argparse
import asyncio
import sys
from pathlib import Path

from prometheus_client import CollectorRegistry

from martlet.runtime.auth import Authorizer
from martlet.runtime.config import AuthConfig
from martlet.runtime.server import Listen, Server
from martlet.v1 import registry_pb2, registry_pb2_grpc
from tests.integration.played_services import PlayedRegistry


class SlowRegistry(PlayedRegistry):
    """GetLineage takes half a second and needs what is closed at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.closed = False

    async def GetLineage(
        self, request: registry_pb2.GetLineageRequest, context: object
    ) -> registry_pb2.GetLineageResponse:
        await asyncio.sleep(0.5)
        return registry_pb2.GetLineageResponse(model=request.model, head_digest="closed" if self.closed else "open")


async def serve(ports_file: Path | None) -> None:
    """Serves until a signal."""
    servicer = SlowRegistry()
    server = Server("slow", Listen("127.0.0.1", 0, 0), CollectorRegistry(), Authorizer(AuthConfig()))
    server.add(
        "martlet.v1.RegistryService", lambda to: registry_pb2_grpc.add_RegistryServiceServicer_to_server(servicer, to)
    )

    async def end_streams() -> None:
        servicer.ended.set()

    async def close() -> None:
        servicer.closed = True
        sys.stderr.write("closed\n")

    await server.start()
    await server.set_serving(serving=True)
    server.announce(ports_file)
    await server.serve_until_signal([close], grace=20.0, before_stop=[end_streams])


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--ports-file", type=Path)
    parser.add_argument("--data-dir")
    asyncio.run(serve(parser.parse_args().ports_file))
