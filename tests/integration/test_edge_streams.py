"""Streams at the edge: errors, roles and metrics hold for them as for single calls."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc.aio
import pytest

from martlet import errors
from martlet.client.registry import RegistryClient
from martlet.client.trainer import TrainerClient
from martlet.runtime.config import AuthConfig, TokenConfig
from martlet.versions import AspiredSet
from tests.integration.played_services import ASPIRED
from tests.integration.played_stage import PlayedStage

WATCH = "/martlet.v1.RegistryService/WatchAspired"
OPEN_STREAMS = "martlet_played_rpc_open_streams"
ENDED = "martlet_played_rpc_duration_seconds_count"


@pytest.fixture
async def stage() -> AsyncIterator[PlayedStage]:
    stage = await PlayedStage().start()
    yield stage
    await stage.stop()


async def eventually(stage: PlayedStage, expected: float, name: str, **labels: str) -> None:
    async with asyncio.timeout(5):
        while stage.sample(name, **labels) != expected:  # noqa: ASYNC110  a metric has no event to wait for
            await asyncio.sleep(0.01)


async def watched(client: RegistryClient, seen: list[AspiredSet]) -> None:
    async with aclosing(client.watch(["shop"], "serving-0")) as sets:
        async for aspired in sets:
            seen.append(aspired)  # noqa: PERF401  what came before an error must be seen


@pytest.mark.parametrize("kind", [errors.NotFound, errors.OverCapacity, errors.Conflict])
async def test_an_error_in_a_stream_reaches_the_client_after_what_came_before(
    stage: PlayedStage, kind: type[errors.MartletError]
) -> None:
    stage.registry.stream_error = kind("because")
    client, seen = RegistryClient(stage.address), list[AspiredSet]()
    with pytest.raises(kind, match="because"):
        await watched(client, seen)
    await client.close()
    assert seen == [ASPIRED]


async def test_an_unexpected_error_in_a_stream_tells_nothing(stage: PlayedStage) -> None:
    stage.registry.stream_error = ZeroDivisionError("secret detail")
    client = RegistryClient(stage.address)
    with pytest.raises(errors.MartletError, match="INTERNAL") as caught:
        await watched(client, [])
    await client.close()
    assert "secret" not in str(caught.value)
    assert stage.sample("martlet_played_rpc_internal_errors_total") == 1
    assert stage.sample(ENDED, method=WATCH, code="INTERNAL") == 1


async def test_a_stream_is_counted_while_open_and_again_when_its_caller_leaves(stage: PlayedStage) -> None:
    client = RegistryClient(stage.address)
    async with aclosing(client.watch(["shop"], "serving-0")) as sets:
        assert await anext(sets) == ASPIRED
        assert stage.sample(OPEN_STREAMS, method=WATCH) == 1
    await client.close()
    await eventually(stage, 0, OPEN_STREAMS, method=WATCH)
    assert stage.sample(ENDED, method=WATCH, code="CANCELLED") == 1


async def test_a_stream_that_the_server_ends_is_an_end_and_no_error(stage: PlayedStage) -> None:
    stage.registry.ended.set()
    client, seen = RegistryClient(stage.address), list[AspiredSet]()
    await watched(client, seen)
    await client.close()
    assert seen == [ASPIRED]
    assert stage.sample(ENDED, method=WATCH, code="OK") == 1


async def test_a_stopped_server_is_unavailable_to_a_watcher() -> None:
    """The stop cuts a stream that does not end itself; the watcher must see that trying again may help."""
    stage = await PlayedStage().start()
    client = RegistryClient(stage.address)
    async with aclosing(client.watch(["shop"], "serving-0")) as sets:
        await anext(sets)
        await stage.server.stop(0)
        with pytest.raises(errors.Unavailable):
            await anext(sets)
    await client.close()


async def test_a_stream_needs_its_role() -> None:
    secret = TokenConfig("ann", hashlib.sha256(b"ann-secret").hexdigest(), "reader")
    stage = await PlayedStage(AuthConfig(tokens=(secret,))).start()
    stranger, reader = RegistryClient(stage.address, "wrong"), RegistryClient(stage.address, "ann-secret")
    with pytest.raises(errors.Unauthenticated):
        await watched(stranger, [])
    assert stage.registry.watches == []
    stage.registry.ended.set()
    await watched(reader, [])
    with pytest.raises(errors.Forbidden, match="publisher"):
        await reader.report_replica("serving-0", [])
    assert stage.registry.reports == []
    await stranger.close()
    await reader.close()
    await stage.stop()


async def test_a_caller_that_leaves_a_single_call_is_counted_as_such(stage: PlayedStage) -> None:
    stage.trainer.held = True
    client = TrainerClient(stage.address)
    call = asyncio.create_task(client.status())
    await stage.trainer.entered.wait()
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    await eventually(stage, 1, ENDED, method="/martlet.v1.TrainerService/GetTrainerStatus", code="CANCELLED")
    await client.close()


class Shapes:
    """A service with streamed requests, which Martlet's protos do not have."""

    @staticmethod
    async def count(requests: AsyncIterator[bytes], context: object) -> bytes:
        total = 0
        async for request in requests:
            total += len(request)
        if total == 0:
            raise errors.InvalidInput("nothing came")
        return str(total).encode()

    @staticmethod
    async def echo(requests: AsyncIterator[bytes], context: object) -> AsyncIterator[bytes]:
        async for request in requests:
            yield request
        raise errors.Conflict("enough")


async def test_streamed_requests_are_wrapped_too() -> None:
    """A shape that the edge did not wrap would be open to everybody."""
    secret = TokenConfig("root", hashlib.sha256(b"root").hexdigest(), "operator")
    stage = PlayedStage(AuthConfig(tokens=(secret,)))
    handlers: dict[str, Any] = {
        "Count": grpc.stream_unary_rpc_method_handler(Shapes.count),
        "Echo": grpc.stream_stream_rpc_method_handler(Shapes.echo),
    }
    stage.server.add("test.Shapes", lambda to: to.add_registered_method_handlers("test.Shapes", handlers))
    stage.server._services.remove("test.Shapes")  # reflection cannot describe it
    await stage.start()
    known = (("authorization", "Bearer root"),)
    async with grpc.aio.insecure_channel(stage.address) as channel:
        count: Any = channel.stream_unary("/test.Shapes/Count")
        echo: Any = channel.stream_stream("/test.Shapes/Echo")
        assert await count(iter([b"ab", b"c"]), metadata=known) == b"3"
        await refused(count(iter([b"ab"])), grpc.StatusCode.UNAUTHENTICATED)
        await refused(count(iter([]), metadata=known), grpc.StatusCode.INVALID_ARGUMENT)
        call = echo(iter([b"ab"]), metadata=known)
        assert await call.read() == b"ab"
        await refused(call.read(), grpc.StatusCode.FAILED_PRECONDITION)
        await refused(echo(iter([b"ab"])).read(), grpc.StatusCode.UNAUTHENTICATED)
    await stage.stop()


async def refused(call: Any, code: grpc.StatusCode) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    assert caught.value.code() is code
