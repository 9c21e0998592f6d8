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

import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from prometheus_client import CollectorRegistry, start_http_server

from martlet.runtime.auth import Authorizer
from martlet.runtime.interceptors import EdgeInterceptor
from martlet.runtime.metrics import RpcMetrics

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Listen:
    """Where a service listens. Port 0 takes a free one."""

    host: str
    grpc_port: int
    metrics_port: int
    max_message_bytes: int = 16 << 20


class Server:
    """A gRPC server and what stands beside it. Lives on one event loop.

    `add` the servicers, `start`, then `serve_until_signal`; or `start` and `stop` in tests.
    """

    def __init__(self, name: str, listen: Listen, registry: CollectorRegistry, authorizer: Authorizer) -> None:
        self._name = name
        self._listen = listen
        self._registry = registry
        options = [
            ("grpc.max_receive_message_length", listen.max_message_bytes),
            ("grpc.max_send_message_length", listen.max_message_bytes),
            ("grpc.so_reuseport", 0),
            ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
            ("grpc.keepalive_permit_without_calls", 1),
        ]
        self._server = grpc.aio.server(
            interceptors=[EdgeInterceptor(RpcMetrics(registry, name), authorizer)], options=options
        )
        self._health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        self._services: list[str] = []
        self._close_metrics: Callable[[], None] = lambda: None
        self.grpc_port = 0
        self.metrics_port = 0

    def add(self, service: str, register: Callable[[grpc.aio.Server], None]) -> None:
        """Adds a servicer: its full service name, and how it is registered."""
        register(self._server)
        self._services.append(service)

    async def start(self) -> None:
        """Binds and listens. Health is NOT_SERVING until `set_serving(True)`.

        Raises:
            OSError: a port is taken.
        """
        reflection.enable_server_reflection(
            [*self._services, health.SERVICE_NAME, reflection.SERVICE_NAME], self._server
        )
        await self.set_serving(serving=False)
        try:
            self.grpc_port = self._server.add_insecure_port(f"{self._listen.host}:{self._listen.grpc_port}")
        except RuntimeError as error:
            raise OSError(f"cannot listen on {self._listen.host}:{self._listen.grpc_port}: {error}") from error
        http, thread = start_http_server(self._listen.metrics_port, self._listen.host, self._registry)
        self.metrics_port = http.server_port

        def close_metrics() -> None:
            http.shutdown()
            http.server_close()
            thread.join()

        self._close_metrics = close_metrics
        await self._server.start()
        logger.info("%s listens on %s, metrics on %s", self._name, self.grpc_port, self.metrics_port)

    async def set_serving(self, *, serving: bool) -> None:
        """Sets the health of the whole process and of each service."""
        kinds = health_pb2.HealthCheckResponse
        status = kinds.SERVING if serving else kinds.NOT_SERVING
        for service in ["", *self._services]:
            await self._health.set(service, status)

    async def stop(self, grace: float) -> None:
        """NOT_SERVING at once, then requests in flight get `grace` seconds."""
        await self.set_serving(serving=False)
        await self._server.stop(grace)
        await asyncio.to_thread(self._close_metrics)

    async def serve_until_signal(self, on_drain: Sequence[Callable[[], Awaitable[None]]], grace: float) -> None:
        """Waits for SIGTERM or SIGINT; then drains, runs the hooks in order, and returns."""
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, ended.set)
        await ended.wait()
        logger.info("%s drains", self._name)
        await self.stop(grace)
        for hook in on_drain:
            await hook()

    def announce(self, ports_file: Path | None) -> None:
        """Tells the ports that were bound: one JSON line on stdout, and in the file if one is named."""
        line = json.dumps({"service": self._name, "grpc_port": self.grpc_port, "metrics_port": self.metrics_port})
        with contextlib.suppress(BrokenPipeError):
            print(line, file=sys.stdout, flush=True)  # noqa: T201  this line is for programs that start us
        if ports_file is not None:
            part = ports_file.with_suffix(".part")
            part.write_text(line + "\n")
            part.replace(ports_file)
