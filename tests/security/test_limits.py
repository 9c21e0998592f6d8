"""Each limit of docs/security.md at the limit and one over: a clear status, and the server goes on."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import grpc.aio
import pytest
from prometheus_client import CollectorRegistry

from martlet.clock import ManualClock
from martlet.errors import Corrupt, InvalidInput, OverCapacity
from martlet.events import Outcome
from martlet.manifest import MAX_MANIFEST_BYTES, decode_manifest
from martlet.runtime.auth import Authorizer
from martlet.runtime.config import AuthConfig
from martlet.runtime.door import Door, Usual
from martlet.runtime.server import MAX_METADATA_BYTES, Listen, Server
from martlet.runtime.tls_config import TlsConfig
from martlet.v1 import registry_pb2 as pb
from martlet.v1 import registry_pb2_grpc, trainer_pb2, trainer_pb2_grpc
from martlet.wire.events import encode_event
from serving_svc.event_intake import LONGEST_TEXT, MAX_EVENT_BYTES, MAX_EVENTS, EventIntake
from serving_svc.item_store import ItemStore
from tests.security.secured_stage import secured
from tests.unit.serving.fakes import MODEL, MemoryWriter

STATUS = trainer_pb2.GetTrainerStatusRequest()
ENTRY_BYTES = 32  # what HTTP/2 counts for an entry beside its name and value (RFC 9113, 6.5.2)


async def code_of(call: "grpc.aio.UnaryUnaryCall[object, object]") -> grpc.StatusCode:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


@contextlib.asynccontextmanager
async def status_of(listen: Listen) -> AsyncIterator[trainer_pb2_grpc.TrainerServiceStub]:
    options = [("grpc.max_send_message_length", -1)]
    async with (
        secured(TlsConfig(), listen=listen) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}", options=options) as channel,
    ):
        yield trainer_pb2_grpc.TrainerServiceStub(channel)


@pytest.mark.parametrize("over", [0, 1])
async def test_messages(over: int) -> None:
    limit = 10_000
    padded = trainer_pb2.GetTrainerStatusRequest.FromString(unknown_field(limit + over))
    assert padded.ByteSize() == limit + over
    async with status_of(Listen("127.0.0.1", 0, 0, max_message_bytes=limit)) as stub:
        expected = grpc.StatusCode.RESOURCE_EXHAUSTED if over else grpc.StatusCode.OK
        assert await code_of(stub.GetTrainerStatus(padded)) is expected  # type: ignore[arg-type]
        assert await code_of(stub.GetTrainerStatus(STATUS)) is grpc.StatusCode.OK  # type: ignore[arg-type]


def unknown_field(size: int) -> bytes:
    """A message of this many bytes, in a field that nobody knows."""
    return b"\xfa\x7f" + bytes([(size - 4) & 0x7F | 0x80, (size - 4) >> 7]) + b"x" * (size - 4)


async def test_metadata() -> None:
    """What gRPC adds itself counts too: so the largest that passes is a little below the limit, and sharp."""
    async with status_of(Listen("127.0.0.1", 0, 0)) as stub:

        async def passes(size: int) -> bool:
            metadata = (("padding", "x" * (size - len("padding") - ENTRY_BYTES)),)
            code = await code_of(stub.GetTrainerStatus(STATUS, metadata=metadata))  # type: ignore[arg-type]
            assert code in (grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED)
            return code is grpc.StatusCode.OK

        low, high = MAX_METADATA_BYTES - 1024, MAX_METADATA_BYTES
        assert await passes(low)
        assert not await passes(high)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if await passes(middle) else (low, middle)
        for _ in range(5):
            assert await passes(low)
            assert not await passes(high)


class Watched(registry_pb2_grpc.RegistryServiceServicer):
    async def WatchAspired(
        self, request: pb.WatchAspiredRequest, context: object
    ) -> AsyncIterator[pb.WatchAspiredResponse]:
        yield pb.WatchAspiredResponse()
        await asyncio.Event().wait()


async def test_streams() -> None:
    listen = Listen("127.0.0.1", 0, 0, max_streams=2)
    server = Server("registry", listen, CollectorRegistry(), Authorizer(AuthConfig()))
    server.add(
        "martlet.v1.RegistryService",
        lambda to: registry_pb2_grpc.add_RegistryServiceServicer_to_server(Watched(), to),
    )
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        stub = registry_pb2_grpc.RegistryServiceStub(channel)
        open_streams = [stub.WatchAspired(pb.WatchAspiredRequest()) for _ in range(2)]
        for stream in open_streams:
            await stream.read()  # type: ignore[attr-defined]
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.WatchAspired(pb.WatchAspiredRequest()).read()  # type: ignore[attr-defined]
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        open_streams[0].cancel()
        async with asyncio.timeout(5):
            while server._edge._door.streams > 1:  # noqa: ASYNC110  what is seen, not told
                await asyncio.sleep(0.01)
        await stub.WatchAspired(pb.WatchAspiredRequest()).read()  # type: ignore[attr-defined]
    await server.stop(0)


def test_calls() -> None:
    door = Door(most=2)
    door.inside = 1
    assert door.fits(None, Usual())
    door.inside = 2
    assert not door.fits(None, Usual())
    door.most_streams = 1
    with door.stream():
        door.check_streams()
        with door.stream(), pytest.raises(OverCapacity):
            door.check_streams()


@pytest.mark.parametrize("over", [0, 1])
def test_manifests(over: int) -> None:
    told = "over the limit" if over else "manifest"
    with pytest.raises(Corrupt, match=told):
        decode_manifest(b" " * (MAX_MANIFEST_BYTES + over))


def intake() -> EventIntake:
    return EventIntake(MemoryWriter(MAX_EVENTS), encode_event, ItemStore(), ManualClock(1))


def outcome(number: int = 0, **changed: object) -> Outcome:
    given: dict[str, object] = {"event_id": f"e{number}", "prediction_id": "p", "item_id": "i", "type": "t"}
    return Outcome(**{**given, **changed}, value=1.0, time_us=1)  # type: ignore[arg-type]


async def test_events_of_a_request() -> None:
    await intake().record_outcomes([outcome(number) for number in range(MAX_EVENTS)])
    with pytest.raises(InvalidInput, match="too many"):
        await intake().record_outcomes([outcome(number) for number in range(MAX_EVENTS + 1)])


@pytest.mark.parametrize("name", ["event_id", "prediction_id", "item_id", "type"])
async def test_texts_of_an_outcome(name: str) -> None:
    await intake().record_outcomes([outcome(**{name: "x" * LONGEST_TEXT})])
    with pytest.raises(InvalidInput, match="over the limit"):
        await intake().record_outcomes([outcome(1), outcome(**{name: "x" * (LONGEST_TEXT + 1)})])


async def test_bytes_of_an_item() -> None:
    async def offered(size: int) -> None:
        await intake().upsert_items(MODEL, [(1, {"item.text": "x" * size})])

    size = MAX_EVENT_BYTES
    with pytest.raises(InvalidInput) as refused:
        await offered(size)
    size -= int(str(refused.value).split()[3]) - MAX_EVENT_BYTES
    await offered(size)
    with pytest.raises(InvalidInput, match="over the limit"):
        await offered(size + 1)


def test_the_page_names_every_limit() -> None:
    page = (Path(__file__).parents[2] / "docs" / "security.md").read_text()
    for number in ("16 MiB", "16 KiB", "4 MiB", "10,000", "1,024", "1 MiB", "64 MiB", "100,000"):
        assert number in page
