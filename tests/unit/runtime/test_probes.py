"""What probes are told: that a process works is another thing than that it can serve."""

import doctest
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from urllib.error import HTTPError
from urllib.request import urlopen

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client import CollectorRegistry

from martlet.runtime import heartbeat
from martlet.runtime.auth import Authorizer
from martlet.runtime.config import AuthConfig
from martlet.runtime.heartbeat import Heartbeat
from martlet.runtime.metrics_http import MetricsServer
from martlet.runtime.server import LIVENESS, Listen, Server

Kinds = health_pb2.HealthCheckResponse


@contextmanager
def page(*, ready: bool, alive: bool) -> Iterator[MetricsServer]:
    server = MetricsServer("127.0.0.1", 0, CollectorRegistry(), lambda: ready, alive=lambda: alive)
    try:
        yield server
    finally:
        server.close()


def status(server: MetricsServer, path: str) -> int:
    try:
        with urlopen(f"http://127.0.0.1:{server.port}{path}") as answer:
            return int(answer.status)
    except HTTPError as error:
        with error:
            return error.code


def test_live_and_ready_are_told_apart() -> None:
    with page(ready=False, alive=True) as server:
        assert (status(server, "/live"), status(server, "/ready")) == (HTTPStatus.OK, HTTPStatus.SERVICE_UNAVAILABLE)
    with page(ready=True, alive=False) as server:
        assert (status(server, "/live"), status(server, "/ready")) == (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.OK)


def test_a_heart_that_stands_still_is_noticed() -> None:
    now = 0.0
    heart = Heartbeat(lambda: now, patience=3.0)
    now = 3.0
    assert heart.alive()
    now = 3.1
    assert not heart.alive()
    heart.beat()
    assert heart.alive()
    assert doctest.testmod(heartbeat).failed == 0


async def test_a_process_that_cannot_serve_yet_is_alive() -> None:
    server = Server("trainer", Listen("127.0.0.1", 0, 0), CollectorRegistry(), Authorizer(AuthConfig()))
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        told = [(await stub.Check(health_pb2.HealthCheckRequest(service=name))).status for name in ("", LIVENESS)]
    assert told == [Kinds.NOT_SERVING, Kinds.SERVING]
    await server.stop(None)
