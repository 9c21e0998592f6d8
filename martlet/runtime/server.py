"""A service process: gRPC with health and reflection, metrics over HTTP, an orderly end."""

import asyncio
import contextlib
import json
import logging
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias, cast

import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc
from prometheus_client import CollectorRegistry

from martlet.errors import Unauthenticated
from martlet.runtime.auth import Authorizer
from martlet.runtime.denial_metrics import METRICS, DenialMetrics
from martlet.runtime.door import Door
from martlet.runtime.edge import Edge
from martlet.runtime.grpc_tls import server_credentials
from martlet.runtime.heartbeat import Heartbeat
from martlet.runtime.loop_lag import LoopLag
from martlet.runtime.metrics import RpcMetrics, watch_door
from martlet.runtime.metrics_http import MetricsDoor, MetricsServer
from martlet.runtime.read_gauge import read_number
from martlet.runtime.server_tls import ServerTls
from martlet.runtime.tracing import Tracer

Hook: TypeAlias = Callable[[], Awaitable[None]]

MAX_METADATA_BYTES: Final = 16 << 10
# A name of the health service for liveness probes: SERVING as long as the process answers at all. The name "" says
# whether it can serve, and whoever waits for a first version must not be killed for it.
LIVENESS: Final = "liveness"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Listen:
    """Where a service listens. Port 0 takes a free one.

    Attributes:
        max_calls: calls that may be under way; beyond, and when too little of its deadline is left, a call is refused
            before it is decoded (RESOURCE_EXHAUSTED).
        share_port: beside other processes that do the same; the kernel spreads connections over them.
        metrics_host: for metrics and readiness; empty: as for gRPC. On a host of its own they are plain and open: it is
            loopback, where the process that started this one asks, and tells for all.
        max_streams: streams that may be open; beyond, one is refused likewise.
        connection_age: after about so many seconds a client is asked to connect anew, and calls that are under way end
            where they began; so that replicas that came later are found. 0: never.
    """

    host: str
    grpc_port: int
    metrics_port: int
    max_message_bytes: int = 16 << 20
    max_calls: int = 1000
    share_port: bool = False
    metrics_host: str = ""
    max_streams: int = 1000
    connection_age: float = 0.0


class Server:
    """A gRPC server and what stands beside it. Lives on one event loop.

    `add` the servicers, `start`, then `serve_until_signal`; or `start` and `stop` in tests.
    """

    def __init__(
        self,
        name: str,
        listen: Listen,
        registry: CollectorRegistry,
        authorizer: Authorizer,
        tls: ServerTls | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        self._name = name
        self._tls = tls
        self._authorizer = authorizer
        self._listen = listen
        self._registry = registry
        options = [
            ("grpc.max_receive_message_length", listen.max_message_bytes),
            ("grpc.max_send_message_length", listen.max_message_bytes),
            ("grpc.so_reuseport", int(listen.share_port)),
            ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.max_metadata_size", MAX_METADATA_BYTES),  # below it gRPC refuses by chance, unless both are the same
            ("grpc.absolute_max_metadata_size", MAX_METADATA_BYTES),
        ]
        if listen.connection_age:
            options.append(("grpc.max_connection_age_ms", int(listen.connection_age * 1000)))
        self._server = grpc.aio.server(options=options)
        door = Door(listen.max_calls, listen.max_streams)
        self._denials = DenialMetrics(registry, name)
        self._edge = Edge(RpcMetrics(registry, name), self._denials, authorizer, door, tracer)
        self._server.add_generic_rpc_handlers((self._edge,))
        self._health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._as_server())
        self._services: list[str] = []
        self._serving = False
        self._ended: asyncio.Event | None = None
        self._heart = Heartbeat()
        self._beating: asyncio.Task[None] | None = None
        self._metrics: MetricsServer | None = None
        self._lag = LoopLag()
        self._measuring: asyncio.Task[None] | None = None
        self.grpc_port = 0
        self.metrics_port = 0
        watch_door(door, registry, name)
        told = "How long the event loop was held up, at most, in the last seconds"
        read_number(f"martlet_{name}_event_loop_lag_seconds", told, lambda: self._lag.worst, registry)
        read_number(f"martlet_{name}_ready", "Whether the process can serve", lambda: float(self._serving), registry)

    def add(self, service: str, register: Callable[[grpc.aio.Server], None]) -> None:
        """Adds a servicer: its full service name, and how it is registered."""
        register(self._as_server())
        self._services.append(service)

    def _as_server(self) -> grpc.aio.Server:
        """The edge, where generated code adds servicers."""
        return cast("grpc.aio.Server", self._edge)

    async def start(self) -> None:
        """Binds and listens. Health is NOT_SERVING until `set_serving(True)`.

        Raises:
            OSError: a port is taken.
        """
        told = reflection.aio.ReflectionServicer([*self._services, health.SERVICE_NAME, reflection.SERVICE_NAME])
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(told, self._edge)  # type: ignore[no-untyped-call]
        await self.set_serving(serving=False)
        try:
            self.grpc_port = self._bind()
            self._metrics = self._serve_metrics()
        except OSError:
            await self._server.stop(None)
            raise
        self.metrics_port = self._metrics.port
        await self._health.set(LIVENESS, health_pb2.HealthCheckResponse.SERVING)
        self._beating = asyncio.create_task(self._heart.run())
        await self._server.start()
        self._measuring = asyncio.create_task(self._lag.run())
        logger.info("%s listens on %s, metrics on %s", self._name, self.grpc_port, self.metrics_port)

    def _serve_metrics(self) -> MetricsServer:
        apart = self._listen.metrics_host
        door = MetricsDoor() if apart else MetricsDoor(self._tls, self._authorizer.admits_reader, self._turned_away)
        host = apart or self._listen.host
        port, alive = self._listen.metrics_port, self._heart.alive
        return MetricsServer(host, port, self._registry, lambda: self._serving, door, alive)

    def _turned_away(self) -> None:
        self._denials.denied(METRICS, Unauthenticated("a reader of the metrics"))

    def _bind(self) -> int:
        place = f"{self._listen.host}:{self._listen.grpc_port}"
        try:
            if self._tls is None:
                return self._server.add_insecure_port(place)
            return self._server.add_secure_port(place, server_credentials(self._tls))
        except RuntimeError as error:
            raise OSError(f"cannot listen on {place}: {error}") from error

    async def set_serving(self, *, serving: bool) -> None:
        """Sets the health of the whole process and of each service."""
        self._serving = serving
        kinds = health_pb2.HealthCheckResponse
        status = kinds.SERVING if serving else kinds.NOT_SERVING
        for service in ["", *self._services]:
            await self._health.set(service, status)

    async def stop(self, grace: float) -> None:
        """NOT_SERVING at once, then requests in flight get `grace` seconds."""
        await self.set_serving(serving=False)
        await self._server.stop(grace)
        for task in (self._beating, self._measuring):
            if task is not None:
                task.cancel()
        if self._metrics is not None:
            await asyncio.to_thread(self._metrics.close)
            self._metrics = None

    async def serve_until_signal(
        self, on_drain: Sequence[Hook], grace: float, *, before_stop: Sequence[Hook] = ()
    ) -> None:
        """Waits for SIGTERM or SIGINT, then ends in order and returns.

        Args:
            on_drain: run in order after the last request has ended: for what requests need.
            grace: seconds that requests in flight may take.
            before_stop: run in order when health says NOT_SERVING and requests are still taken: for ending one's own
                endless streams, which would otherwise use the whole grace up.
        """
        await self._signals().wait()
        logger.info("%s drains", self._name)
        await self.set_serving(serving=False)
        for hook in before_stop:
            await hook()
        await self.stop(grace)
        for hook in on_drain:
            await hook()

    def _signals(self) -> asyncio.Event:
        """Set by SIGTERM or SIGINT. From the first call on, a signal no longer kills the process."""
        if self._ended is None:
            self._ended = asyncio.Event()
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, self._ended.set)
        return self._ended

    def announce(self, ports_file: Path | None) -> None:
        """Tells the ports that were bound: one JSON line on stdout, and in the file if one is named.

        Whoever reads it may send a signal at once: it is already an orderly end.
        """
        self._signals()
        line = json.dumps({"service": self._name, "grpc_port": self.grpc_port, "metrics_port": self.metrics_port})
        with contextlib.suppress(BrokenPipeError):
            print(line, file=sys.stdout, flush=True)  # noqa: T201  this line is for programs that start us
        if ports_file is not None:
            part = ports_file.with_suffix(".part")
            part.write_text(line + "\n")
            part.replace(ports_file)
