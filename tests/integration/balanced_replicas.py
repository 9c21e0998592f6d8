"""Replicas that play serving behind the real server, and a steady load of calls."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Self

from prometheus_client import CollectorRegistry

from martlet.client.serving import ServingClient
from martlet.errors import MartletError
from martlet.runtime.auth import Authorizer
from martlet.runtime.config import AuthConfig
from martlet.runtime.server import Listen, Server
from martlet.v1 import events_pb2, serving_pb2, serving_pb2_grpc

CALL_SECONDS = 0.01
MOST_CALLS = 20_000  # a load ends by itself, whatever else happens


class Replica(serving_pb2_grpc.ServingServiceServicer):
    """Answers each Rank a little later, under its own name."""

    def __init__(self, name: str, host: str = "127.0.0.1", port: int = 0, connection_age: float = 0.0) -> None:
        self.name, self.answered = name, 0
        listen = Listen(host, port, 0, connection_age=connection_age)
        self.server = Server("serving", listen, CollectorRegistry(), Authorizer(AuthConfig()))
        self.server.add(
            "martlet.v1.ServingService", lambda to: serving_pb2_grpc.add_ServingServiceServicer_to_server(self, to)
        )

    async def Rank(self, request: serving_pb2.RankRequest, context: object) -> serving_pb2.RankResponse:
        await asyncio.sleep(CALL_SECONDS)
        self.answered += 1
        return serving_pb2.RankResponse(
            prediction_id=self.name, model=request.model, version=1, digest="d", arm=events_pb2.ARM_LIVE
        )

    async def start(self) -> "Replica":
        """Listens, and is ready."""
        await self.server.start()
        await self.server.set_serving(serving=True)
        return self

    async def drain(self, notice: float = 0.0) -> None:
        """Not ready for some seconds, in which it goes on answering (a pod's preStop); then ends in order."""
        await self.server.set_serving(serving=False)
        await asyncio.sleep(notice)
        await self.server.stop(grace=5.0)


@dataclass
class Load:
    """Calls without a pause by several callers, until told to stop.

    Attributes:
        answers: by the replica that answered.
        failures: what callers were told that got no answer.
    """

    client: ServingClient
    callers: int = 8
    answers: "Counter[str]" = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    _running: "Sequence[asyncio.Task[None]]" = ()

    async def __aenter__(self) -> Self:
        self._running = [asyncio.create_task(self._call_on()) for _ in range(self.callers)]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._running:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def answered_by(self, replica: str, calls: int = 50) -> None:
        """Waits until a replica has answered so many more calls."""
        await self._reaches(lambda: self.answers[replica], calls)

    async def answered(self, calls: int = 200) -> None:
        """Waits until so many more calls were answered."""
        await self._reaches(self.answers.total, calls)

    async def _reaches(self, count: Callable[[], int], more: int) -> None:
        wanted = count() + more
        async with asyncio.timeout(20):
            while count() < wanted:  # noqa: ASYNC110  what is waited for is counted elsewhere
                await asyncio.sleep(0.01)

    async def _call_on(self) -> None:
        for _ in range(MOST_CALLS // self.callers):
            try:
                answer = await self.client.rank("shop", 1, [1, 2])
            except MartletError as error:
                self.failures.append(f"{type(error).__name__}: {error}")
                await asyncio.sleep(CALL_SECONDS)
            else:
                self.answers[answer.prediction_id] += 1
