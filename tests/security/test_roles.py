"""Every RPC and every role, over real gRPC: who is let in by whom."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from prometheus_client import CollectorRegistry

from martlet.client.bearer import TokenFile
from martlet.client.channel import CallPolicy
from martlet.client.trainer import TrainerClient
from martlet.errors import InvalidInput, Unauthenticated
from martlet.oip import open_inference_pb2, open_inference_pb2_grpc
from martlet.runtime.auth import NEEDED, OPEN, Authorizer, CallerRole
from martlet.runtime.config import AuthConfig, CertificateConfig, TokenConfig
from martlet.runtime.server import Listen, Server
from martlet.runtime.tls_config import TlsConfig
from martlet.v1 import (
    events_pb2,
    events_pb2_grpc,
    registry_pb2,
    registry_pb2_grpc,
    serving_pb2,
    serving_pb2_grpc,
    trainer_pb2,
    trainer_pb2_grpc,
)
from tests.security.secured_stage import secured

MODULES = (serving_pb2, events_pb2, registry_pb2, trainer_pb2, open_inference_pb2, health_pb2, reflection_pb2)
METHODS = {
    f"/{service.full_name}/{method.name}": method
    for module in MODULES
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
ADD = {
    "martlet.v1.ServingService": (
        serving_pb2_grpc.add_ServingServiceServicer_to_server,
        serving_pb2_grpc.ServingServiceServicer,
    ),
    "martlet.v1.EventsService": (
        events_pb2_grpc.add_EventsServiceServicer_to_server,
        events_pb2_grpc.EventsServiceServicer,
    ),
    "martlet.v1.RegistryService": (
        registry_pb2_grpc.add_RegistryServiceServicer_to_server,
        registry_pb2_grpc.RegistryServiceServicer,
    ),
    "martlet.v1.RolloutService": (
        registry_pb2_grpc.add_RolloutServiceServicer_to_server,
        registry_pb2_grpc.RolloutServiceServicer,
    ),
    "martlet.v1.TrainerService": (
        trainer_pb2_grpc.add_TrainerServiceServicer_to_server,
        trainer_pb2_grpc.TrainerServiceServicer,
    ),
    "inference.GRPCInferenceService": (
        open_inference_pb2_grpc.add_GRPCInferenceServiceServicer_to_server,
        open_inference_pb2_grpc.GRPCInferenceServiceServicer,
    ),
}
CALLERS = ("nobody", "unknown", *(role.name.lower() for role in CallerRole))
ONCE = CallPolicy(timeout=3, tries=1)


def sha256(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def token(role: str) -> TokenConfig:
    return TokenConfig(f"{role}s-name", sha256(f"{role}-secret"), role)


@pytest.fixture(scope="module")
def all_rows() -> frozenset[str]:
    return frozenset(METHODS)


def test_every_rpc_of_every_service_has_a_rule(all_rows: frozenset[str]) -> None:
    assert all_rows == set(NEEDED) | OPEN


@pytest.fixture
async def locked() -> AsyncIterator[Server]:
    """All services, with nothing behind them: whoever is let in hears that something else is wrong."""
    auth = AuthConfig(tokens=tuple(token(role.name.lower()) for role in CallerRole))
    server = Server("all", Listen("127.0.0.1", 0, 0), CollectorRegistry(), Authorizer(auth))
    for service, (add, servicer) in ADD.items():
        server.add(service, lambda to, add=add, servicer=servicer: add(servicer(), to))  # type: ignore[misc]
    await server.start()
    yield server
    await server.stop(0)


async def test_every_rpc_and_every_role(locked: Server) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{locked.grpc_port}") as channel:
        table = [(method, caller) for method in METHODS for caller in CALLERS]
        codes = await asyncio.gather(*(code_of(channel, method, caller) for method, caller in table))
    for (method, caller), code in zip(table, codes, strict=True):
        assert (code not in (UNKNOWN, FORBIDDEN)) is allowed(method, caller), (method, caller, code)
        if not allowed(method, caller):
            assert code is (UNKNOWN if caller in ("nobody", "unknown") else FORBIDDEN), (method, caller)


UNKNOWN, FORBIDDEN = grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED


def allowed(method: str, caller: str) -> bool:
    if method.startswith("/grpc.health.v1.Health/"):
        return True
    if caller in ("nobody", "unknown"):
        return False
    return CallerRole[caller.upper()] >= NEEDED[method]


async def code_of(channel: grpc.aio.Channel, method: str, caller: str) -> grpc.StatusCode:
    """The status that a caller's call ends with, or OK if something comes back first."""
    metadata = () if caller == "nobody" else (("authorization", f"Bearer {caller}-secret"),)
    described = METHODS[method]
    shape = (
        f"{'stream' if described.client_streaming else 'unary'}_{'stream' if described.server_streaming else 'unary'}"
    )
    callable_: Any = getattr(channel, shape)(method)
    call = callable_(iter([b""]) if described.client_streaming else b"", metadata=metadata, timeout=10)
    try:
        if described.server_streaming:
            await call.read()
            if not call.done():
                call.cancel()
                return grpc.StatusCode.OK
        else:
            await call
        code: grpc.StatusCode = await call.code()
    except grpc.aio.AioRpcError as error:
        return error.code()
    return code


async def test_a_service_nobody_has_ruled_on_is_for_operators() -> None:
    authorizer = Authorizer(AuthConfig(tokens=(token("publisher"), token("operator"))))
    new = "/martlet.v1.NewService/DoSomething"
    with pytest.raises(Exception, match="needs a operator"):
        authorizer.check(new, [("authorization", "Bearer publisher-secret")])
    assert authorizer.check(new, [("authorization", "Bearer operator-secret")]) == "token:operators-name"


async def test_tokens_are_read_again_and_clients_follow(tmp_path: Path) -> None:
    known, own = tmp_path / "tokens.yaml", tmp_path / "token"
    known.write_text(f"- {{name: ann, sha256: {sha256('old')}, role: reader}}")
    own.write_text("old\n")
    auth = AuthConfig(tokens_file=str(known), reload_seconds=0.0)
    async with secured(TlsConfig(), auth) as server:
        client = TrainerClient(f"127.0.0.1:{server.grpc_port}", TokenFile(own, 0.0), ONCE)
        assert (await client.status()).model == "token:ann"
        known.write_text(f"- {{name: anna, sha256: {sha256('new')}, role: reader}}")
        with pytest.raises(Unauthenticated):
            await client.status()
        own.write_text("new\n")
        assert (await client.status()).model == "token:anna"
        known.write_text("- {name: half")
        assert (await client.status()).model == "token:anna"  # a broken file changes nothing
        known.write_text("")
        with pytest.raises(Unauthenticated):
            await client.status()  # an empty one lets nobody in
        await client.close()


@pytest.mark.parametrize(
    "tokens",
    [(TokenConfig("ann", "abc", "reader"),), (TokenConfig("ann", sha256("x"), "root"),)],
    ids=["no hash", "no role"],
)
def test_a_bad_token_is_told(tokens: tuple[TokenConfig, ...]) -> None:
    with pytest.raises(InvalidInput, match="auth"):
        Authorizer(AuthConfig(tokens=tokens))


def test_a_certificate_has_the_role_of_any_of_its_names() -> None:
    auth = AuthConfig(tokens=(token("operator"),), certificates=(CertificateConfig("serving.svc", "publisher"),))
    authorizer = Authorizer(auth, mutual=True)
    report = "/martlet.v1.RegistryService/ReportReplica"
    assert authorizer.check(report, (), ("serving", "serving.svc")) == "certificate:serving.svc"
    with pytest.raises(Unauthenticated):
        authorizer.check(report, (), ("other",))
    with pytest.raises(Unauthenticated):  # a wrong token is not made good by a certificate
        authorizer.check(report, [("authorization", "Bearer guess")], ("serving.svc",))
    assert authorizer.check(report, [("authorization", "Bearer operator-secret")], ()) == "token:operators-name"
