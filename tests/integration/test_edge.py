"""The edge over real gRPC: errors to statuses and back, who may call, health, reflection, an orderly end."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from urllib.request import urlopen

import grpc.aio
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from prometheus_client import CollectorRegistry

from martlet import errors
from martlet.client.channel import CallPolicy
from martlet.client.trainer import TrainerClient
from martlet.runtime.auth import Authorizer
from martlet.runtime.config import AuthConfig, TokenConfig
from martlet.runtime.edge import STATUS_OF
from martlet.runtime.server import Listen, Server
from martlet.v1 import trainer_pb2, trainer_pb2_grpc

SERVICE = "martlet.v1.TrainerService"


class RaisingTrainer(trainer_pb2_grpc.TrainerServiceServicer):
    """Raises what the test staged."""

    error: Exception | None = None

    async def GetTrainerStatus(
        self, request: trainer_pb2.GetTrainerStatusRequest, context: object
    ) -> trainer_pb2.GetTrainerStatusResponse:
        if self.error is not None:
            raise self.error
        return trainer_pb2.GetTrainerStatusResponse(model="shop", step=7)


class Stage:
    """A running server with a raising servicer."""

    def __init__(self, auth: AuthConfig) -> None:
        self.trainer = RaisingTrainer()
        self.registry = CollectorRegistry()
        self.server = Server("trainer", Listen("127.0.0.1", 0, 0), self.registry, Authorizer(auth))
        self.server.add(
            SERVICE, lambda server: trainer_pb2_grpc.add_TrainerServiceServicer_to_server(self.trainer, server)
        )

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server.grpc_port}"

    def client(self, token: str = "") -> TrainerClient:
        return TrainerClient(self.address, token, CallPolicy(timeout=5, tries=1))


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    stage = Stage(AuthConfig())
    await stage.server.start()
    yield stage
    await stage.server.stop(0)


@pytest.mark.parametrize("kind", [k for k in STATUS_OF if k not in (errors.Corrupt, errors.NotReady)])
async def test_an_error_reaches_the_client_in_the_domains_words(stage: Stage, kind: type[errors.MartletError]) -> None:
    stage.trainer.error = kind("because")
    client = stage.client()
    with pytest.raises(kind, match="because"):
        await client.status()
    await client.close()
    code = STATUS_OF[kind].name
    labels = {"method": f"/{SERVICE}/GetTrainerStatus", "code": code}
    assert stage.registry.get_sample_value("martlet_trainer_rpc_duration_seconds_count", labels) == 1


async def test_an_unexpected_error_is_internal_and_tells_nothing(stage: Stage) -> None:
    stage.trainer.error = ZeroDivisionError("secret detail")
    async with grpc.aio.insecure_channel(stage.address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await trainer_pb2_grpc.TrainerServiceStub(channel).GetTrainerStatus(trainer_pb2.GetTrainerStatusRequest())
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert "secret" not in (caught.value.details() or "")
    assert stage.registry.get_sample_value("martlet_trainer_rpc_internal_errors_total") == 1


async def test_over_capacity_says_when_to_try_again(stage: Stage) -> None:
    stage.trainer.error = errors.OverCapacity("full", retry_after_ms=120)
    async with grpc.aio.insecure_channel(stage.address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await trainer_pb2_grpc.TrainerServiceStub(channel).GetTrainerStatus(trainer_pb2.GetTrainerStatusRequest())
    trailing = dict(caught.value.trailing_metadata() or ())
    assert trailing["retry-after-ms"] == "120"
    status = status_pb2.Status.FromString(trailing["grpc-status-details-bin"])
    retry = error_details_pb2.RetryInfo()
    assert status.details[0].Unpack(retry)
    assert retry.retry_delay.ToMilliseconds() == 120
    client = stage.client()
    with pytest.raises(errors.OverCapacity) as domain:
        await client.status()
    assert domain.value.retry_after_ms == 120
    await client.close()


async def test_unavailable_is_tried_again(stage: Stage) -> None:
    stage.trainer.error = errors.NotReady("not yet")
    client = TrainerClient(stage.address, policy=CallPolicy(timeout=5, tries=3, backoff=0.01))
    with pytest.raises(errors.Unavailable):
        await client.status()
    labels = {"method": f"/{SERVICE}/GetTrainerStatus", "code": "UNAVAILABLE"}
    assert stage.registry.get_sample_value("martlet_trainer_rpc_duration_seconds_count", labels) == 3
    stage.trainer.error = None
    assert (await client.status()).step == 7
    await client.close()


async def test_health_follows_the_service(stage: Stage) -> None:
    async with grpc.aio.insecure_channel(stage.address) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        for service in ("", SERVICE):
            request = health_pb2.HealthCheckRequest(service=service)
            await stage.server.set_serving(serving=False)
            assert (await health.Check(request)).status == health_pb2.HealthCheckResponse.NOT_SERVING
            await stage.server.set_serving(serving=True)
            assert (await health.Check(request)).status == health_pb2.HealthCheckResponse.SERVING


async def test_reflection_lists_the_services(stage: Stage) -> None:
    def listed() -> list[str]:
        with grpc.insecure_channel(stage.address) as channel:
            return list(ProtoReflectionDescriptorDatabase(channel).get_services())

    services = await asyncio.to_thread(listed)
    assert SERVICE in services
    assert "grpc.health.v1.Health" in services


@pytest.mark.parametrize("which", ["grpc_port", "metrics_port"])
async def test_a_taken_port_is_one_clear_error(stage: Stage, which: str) -> None:
    port = getattr(stage.server, which)
    listen = replace(Listen("127.0.0.1", 0, 0), **{which: port})
    second = Server("trainer", listen, CollectorRegistry(), Authorizer(AuthConfig()))
    with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{port}"):
        await second.start()


async def test_metrics_are_served_over_http(stage: Stage) -> None:
    client = stage.client()
    await client.status()
    await client.close()

    def read() -> str:
        with urlopen(f"http://127.0.0.1:{stage.server.metrics_port}/metrics") as reply:
            return str(reply.read().decode())

    assert "martlet_trainer_rpc_duration_seconds_count" in await asyncio.to_thread(read)


def token(name: str, role: str) -> TokenConfig:
    return TokenConfig(name, hashlib.sha256(f"{name}-secret".encode()).hexdigest(), role)


@pytest.fixture
async def locked() -> AsyncIterator[Stage]:
    stage = Stage(AuthConfig(tokens=(token("ann", "reader"), token("bob", "caller"))))
    await stage.server.start()
    yield stage
    await stage.server.stop(0)


@pytest.mark.parametrize("secret", ["", "wrong", "ann"])
async def test_without_a_known_token_nobody_enters(locked: Stage, secret: str) -> None:
    client = locked.client(secret)
    with pytest.raises(errors.Unauthenticated):
        await client.status()
    await client.close()


async def test_a_known_token_enters_and_health_is_open(locked: Stage) -> None:
    client = locked.client("ann-secret")
    assert (await client.status()).model == "shop"
    await client.close()
    async with grpc.aio.insecure_channel(locked.address) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        reply = await health.Check(health_pb2.HealthCheckRequest())
    assert reply.status == health_pb2.HealthCheckResponse.NOT_SERVING


async def test_what_is_no_message_of_its_type_is_the_callers_fault(stage: Stage) -> None:
    async with grpc.aio.insecure_channel(stage.address) as channel:
        call = channel.unary_unary(f"/{SERVICE}/GetTrainerStatus")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call(b"\xff\xff")
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "no message of its type" in (refused.value.details() or "")


async def test_what_cannot_be_answered_in_time_is_refused_with_a_hint(stage: Stage) -> None:
    stage.server._edge._door.inside = stage.server._edge._door.most
    client = stage.client()
    with pytest.raises(errors.OverCapacity, match="too many calls are under way") as refused:
        await client.status()
    assert refused.value.retry_after_ms > 0
    stage.server._edge._door.inside = 0
    assert (await client.status()).step == 7
    await client.close()
