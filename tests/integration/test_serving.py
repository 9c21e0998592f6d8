"""A whole replica in process: real gRPC, real onnxruntime, real event log; the registry is played by the test."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import grpc.aio
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client import CollectorRegistry

from martlet.artifacts import FolderStore
from martlet.client.channel import CallPolicy
from martlet.client.serving import ServingClient
from martlet.clock import Clock, SystemClock
from martlet.errors import InvalidInput, NotFound, OverCapacity, Unavailable
from martlet.eventlog.file_log import FileEventReader
from martlet.events import Arm, Event, ItemUpsert, Outcome, Prediction
from martlet.feature_encoding import RankInput, Value, encode, feed
from martlet.manifest import spec_digest
from martlet.measurement import MeasurementBatch
from martlet.oip import open_inference_pb2 as oip
from martlet.oip import open_inference_pb2_grpc
from martlet.runtime.config import Config, ServingConfig
from martlet.v1 import registry_pb2, registry_pb2_grpc
from martlet.versions import AspiredModel, AspiredSet, AspiredVersion, Role, ServableStatus, VersionState
from martlet.wire.events import decode_event
from martlet.wire.registry import aspired_message, measurements_of, status_of
from serving_svc.app import ServingApp
from tests.integration.tiny_version import MODEL, TinyTrainer
from tests.unit.core.samples import SPEC
from tests.unit.serving.fakes import until

CONTEXT: dict[str, Value] = {"hour": 13.0, "recent_items": [5, 6]}
ITEMS: dict[int, dict[str, Value]] = {3: {"item.price": 3.0}, 4: {}, 7: {"item.price": 7.0}}


class PlayedRegistry(registry_pb2_grpc.RegistryServiceServicer):
    """Streams what the test aspires, and keeps what it is told."""

    def __init__(self) -> None:
        self.set = AspiredSet((), 60_000)
        self.changed = asyncio.Event()
        self.statuses: list[ServableStatus] = []
        self.batches: list[MeasurementBatch] = []
        self.server = grpc.aio.server()
        registry_pb2_grpc.add_RegistryServiceServicer_to_server(self, self.server)
        self.port = self.server.add_insecure_port("127.0.0.1:0")

    def aspire(self, revision: int, *versions: AspiredVersion, epoch: int = 1, lease_ms: int = 60_000) -> None:
        self.set = AspiredSet((AspiredModel(MODEL, epoch, revision, "salt", versions),), lease_ms)
        self.changed.set()

    async def WatchAspired(
        self, request: registry_pb2.WatchAspiredRequest, context: object
    ) -> AsyncIterator[registry_pb2.WatchAspiredResponse]:
        while True:
            self.changed.clear()
            yield aspired_message(self.set)
            await self.changed.wait()

    async def ReportReplica(
        self, request: registry_pb2.ReportReplicaRequest, context: object
    ) -> registry_pb2.ReportReplicaResponse:
        self.statuses = [status_of(status) for status in request.servables]
        return registry_pb2.ReportReplicaResponse()

    async def ReportMeasurements(
        self, request: registry_pb2.ReportMeasurementsRequest, context: object
    ) -> registry_pb2.ReportMeasurementsResponse:
        self.batches.append(measurements_of(request))
        return registry_pb2.ReportMeasurementsResponse()

    def state_of(self, version: int) -> VersionState | None:
        return next((status.state for status in self.statuses if status.version == version), None)


class World:
    """A replica with its registry, its trainer by hand, and a client."""

    def __init__(self, root: Path, clock: Clock | None = None) -> None:
        self.registry = PlayedRegistry()  # type: ignore[abstract]  # it plays three RPCs of seven
        self.trainer = TinyTrainer(FolderStore(root / "artifacts"))
        for item in range(20):
            self.trainer.learn("item", item, [item * 0.1, 1.0, -item * 0.2, 0.5])
        serving = ServingConfig(
            grpc_port=0,
            metrics_port=0,
            registry=f"127.0.0.1:{self.registry.port}",
            max_candidates=50,
            drain_seconds=2.0,
        )
        self.config = Config(data_dir=root, serving=serving)
        self.collectors = CollectorRegistry()
        self.app = ServingApp(self.config, clock or SystemClock(), self.collectors)
        self.versions: list[str] = []
        self.barriers = 0

    def publish(self) -> int:
        self.versions.append(self.trainer.publish())
        return len(self.versions)

    def aspired(self, version: int, role: Role, weight: int) -> AspiredVersion:
        return AspiredVersion(version, self.versions[version - 1], role, weight)

    def aspire(self, revision: int, head: int, pin: int, weight: int = 10_000, epoch: int = 1) -> None:
        versions = (self.aspired(head, Role.HEAD, weight), self.aspired(pin, Role.PIN, 10_000 - weight))
        self.registry.aspire(revision, *versions, epoch=epoch)

    async def start(self) -> None:
        await self.registry.server.start()
        await self.app.start()
        self.address = f"127.0.0.1:{self.app.server.grpc_port}"
        self.client = ServingClient(self.address, policy=CallPolicy(timeout=5, tries=1))
        self.channel = grpc.aio.insecure_channel(self.address)
        self.oip = open_inference_pb2_grpc.GRPCInferenceServiceStub(self.channel)

    async def stop(self) -> None:
        await self.client.close()
        await self.channel.close()
        await self.app.stop()
        await self.registry.server.stop(0)

    async def serving(self) -> bool:
        stub = health_pb2_grpc.HealthStub(self.channel)
        reply = await stub.Check(  # type: ignore[attr-defined]  # its stubs leave the methods out
            health_pb2.HealthCheckRequest(service="")
        )
        return bool(reply.status == health_pb2.HealthCheckResponse.SERVING)

    async def answered_by(self, version: int, seconds: float = 5.0) -> None:
        async with asyncio.timeout(seconds):
            while True:
                with suppress(Unavailable, NotFound):
                    if (await self.client.rank(MODEL, 1, [3])).version == version:
                        return
                await asyncio.sleep(0.002)

    def events(self) -> list[Event]:
        reader = FileEventReader(self.config.event_log_dir)
        records = reader.read("serving-0", 0, 1 << 20)
        reader.close()
        return [decode_event(record.payload) for record in records]

    async def predictions(self) -> dict[str, Prediction]:
        """All records of answers so far, by prediction id: those still in a queue are waited for."""
        await self.app.shadow.close()
        self.barriers += 1  # an outcome that was never seen is acknowledged behind everything that was queued
        await self.client.record_outcomes([Outcome(f"barrier-{self.barriers}", "p", 1, "click", 1.0, 0)])
        return {event.prediction_id: event for event in self.events() if isinstance(event, Prediction)}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(tmp_path)
    await world.start()
    yield world
    await world.stop()


@pytest.fixture
async def serving(world: World) -> World:
    """Version 1 answers everything."""
    world.publish()
    world.aspire(1, head=1, pin=1)
    await world.answered_by(1)
    return world


async def until_reported(world: World, version: int, state: VersionState) -> None:
    await until(lambda: world.registry.state_of(version) is state)


def expected_logits(world: World, items: Mapping[int, Mapping[str, Value]]) -> dict[int, float]:
    block = encode(SPEC, RankInput(1, CONTEXT, list(items), list(items.values())))
    return dict(zip(items, world.trainer.logits(block).tolist(), strict=True))


async def test_rank_gives_the_trainers_numbers_and_the_record_holds_them(serving: World) -> None:
    ranking = await serving.client.rank(MODEL, 1, ITEMS, CONTEXT, session_id="s")
    expected = expected_logits(serving, ITEMS)
    assert [item.item_id for item in ranking.items] == sorted(expected, key=lambda item: -expected[item])
    assert {item.item_id: item.logit for item in ranking.items} == pytest.approx(expected, abs=1e-5)
    assert (ranking.version, ranking.digest, ranking.arm) == (1, serving.versions[0], Arm.LIVE)
    outcome = Outcome("", ranking.prediction_id, 3, "rating", 4.0, 0)
    position = await serving.client.record_outcomes([outcome])
    assert await serving.client.record_outcomes([outcome]) == position
    record, written = serving.events()[-2:]
    assert isinstance(record, Prediction)
    assert record.prediction_id == ranking.prediction_id
    assert record.spec_digest == spec_digest(SPEC)
    assert record.scores[1].tolist() == [item.logit for item in ranking.items]
    assert serving.trainer.logits(record.features).tolist() == pytest.approx(record.scores[1].tolist(), abs=1e-5)
    assert isinstance(written, Outcome)
    assert written.event_id == f"{ranking.prediction_id}/3/rating"
    assert written.time_us > 0


async def test_a_delta_answers_soon_after_it_is_aspired(serving: World) -> None:
    waits = []
    for revision in range(2, 12):
        serving.trainer.learn("item", 3, [float(revision)] * 4)
        version = serving.publish()
        serving.aspire(revision, head=version, pin=1)
        started = time.monotonic()
        await serving.answered_by(version)
        waits.append(time.monotonic() - started)
    assert sorted(waits)[len(waits) // 2] < 0.25, waits  # a bound for a busy machine; see the benchmark for figures
    logits = {item.item_id: item.logit for item in (await serving.client.rank(MODEL, 1, ITEMS, CONTEXT)).items}
    assert logits == pytest.approx(expected_logits(serving, ITEMS), abs=1e-5)
    statuses = {status.version: status.state for status in await serving.client.status()}
    assert [version for version, state in statuses.items() if state is VersionState.READY] == [1, 11]


async def test_no_request_fails_while_versions_change_and_some_are_broken(serving: World) -> None:
    stop, failures, versions = asyncio.Event(), [], set()

    async def ask() -> None:
        while not stop.is_set():
            try:
                versions.add((await serving.client.rank(MODEL, 1, ITEMS, CONTEXT)).version)
            except Exception as error:  # noqa: BLE001  any failure at all is what this test looks for
                failures.append(error)

    askers = [asyncio.create_task(ask()) for _ in range(4)]
    good = 1
    for revision in range(2, 14):
        broken = revision % 4 == 0
        serving.trainer.weights["bias"] = np.array([np.nan if broken else revision / 4], np.float32)
        version = serving.publish()
        serving.aspire(revision, head=version, pin=good)
        await until_reported(serving, version, VersionState.FAILED if broken else VersionState.READY)
        good = good if broken else version
    stop.set()
    await asyncio.gather(*askers)
    assert failures == []
    assert not versions & {4, 8, 12}
    assert len(versions) > 5


async def test_a_damaged_version_is_reported_failed_and_the_old_one_goes_on(serving: World) -> None:
    serving.trainer.learn("item", 3, [1.0] * 4)
    version = serving.publish()
    path = FolderStore(serving.config.artifact_dir).blob_path(serving.trainer.deltas[-1].digest)
    path.write_bytes(path.read_bytes()[:-4] + b"\0\0\0\1")
    serving.aspire(2, head=version, pin=1)
    await until_reported(serving, version, VersionState.FAILED)
    reason = next(status.reason for status in serving.registry.statuses if status.version == version)
    assert "does not match its digest" in reason
    ranking = await serving.client.rank(MODEL, 1, ITEMS, CONTEXT)
    assert (ranking.version, ranking.arm) == (1, Arm.LIVE)


async def test_measurements_reach_the_registry_once(serving: World) -> None:
    def measured() -> int:
        batches = {batch.sequence: batch for batch in serving.registry.batches}
        found = [m.count for batch in batches.values() for m in batch.measurements if m.name == "predict_seconds"]
        return sum(found)

    for _ in range(5):
        await serving.client.rank(MODEL, 1, [3])
    (status,) = await serving.client.status()
    assert status.requests > 5
    await until(lambda: measured() == status.requests)


async def test_it_is_ready_only_with_a_version_and_keeps_serving_without_the_registry(world: World) -> None:
    await until(world.app.manager.is_ready)  # an empty set is a set: there is nothing to serve
    assert await world.serving()
    world.publish()
    world.aspire(1, head=1, pin=1)
    await world.answered_by(1)
    await world.registry.server.stop(0)
    await asyncio.sleep(0.05)
    assert (await world.client.rank(MODEL, 1, [3])).version == 1
    assert await world.serving()


async def test_without_a_registry_it_is_not_ready(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.registry.server.add_insecure_port("127.0.0.1:0")
    await world.app.start()
    address = f"127.0.0.1:{world.app.server.grpc_port}"
    async with (
        ServingClient(address, policy=CallPolicy(timeout=5, tries=1)) as client,
        grpc.aio.insecure_channel(address) as channel,
    ):
        world.channel = channel
        assert not await world.serving()
        with pytest.raises(Unavailable, match="nothing was heard from the registry"):
            await client.rank(MODEL, 1, [3])
        await client.record_outcomes([Outcome("e", "p", 1, "click", 1.0, 1)])
    await world.app.stop()
    await world.registry.server.stop(0)


async def test_when_the_lease_is_over_the_pin_answers(serving: World) -> None:
    version = serving.publish()
    serving.aspire(2, head=version, pin=1)
    await serving.answered_by(version)
    serving.registry.aspire(3, serving.aspired(version, Role.HEAD, 10_000), serving.aspired(1, Role.PIN, 0), lease_ms=1)
    await asyncio.sleep(0.1)
    ranking = await serving.client.rank(MODEL, 1, [3])
    assert (ranking.version, ranking.arm) == (1, Arm.PIN)


async def test_a_named_version_answers_even_with_no_weight(serving: World) -> None:
    version = serving.publish()
    serving.aspire(2, head=version, pin=1, weight=0)
    await until_reported(serving, version, VersionState.READY)
    assert (await serving.client.rank(MODEL, 1, [3])).version == 1
    ranking = await serving.client.rank(MODEL, 1, [3], version=version)
    assert (ranking.version, ranking.arm) == (version, Arm.EXPLICIT)


async def test_recommend_follows_what_is_on_offer(serving: World) -> None:
    assert (await serving.client.recommend(MODEL, 1, 3, CONTEXT)).items == ()
    await serving.client.upsert_items(MODEL, {item: {"item.price": 1.0} for item in range(10)})
    ranking = await serving.client.recommend(MODEL, 1, 3, CONTEXT, exclude=[9])
    expected = expected_logits(serving, {item: {"item.price": 1.0} for item in range(9)})
    assert [item.item_id for item in ranking.items] == sorted(expected, key=lambda item: -expected[item])[:3]
    best = ranking.items[0].item_id
    await serving.client.delete_items(MODEL, [best])
    again = await serving.client.recommend(MODEL, 1, 3, CONTEXT, exclude=[9])
    assert best not in [item.item_id for item in again.items]
    assert sum(isinstance(event, ItemUpsert) for event in serving.events()) == 10


async def test_items_survive_a_restart_through_the_log(serving: World, tmp_path: Path) -> None:
    await serving.client.upsert_items(MODEL, {5: {"item.price": 1.0}})
    other = ServingApp(
        replace(serving.config, data_dir=tmp_path, serving=replace(serving.config.serving, replica="serving-1")),
        SystemClock(),
        CollectorRegistry(),
    )
    await other.start()
    async with ServingClient(f"127.0.0.1:{other.server.grpc_port}") as client, asyncio.timeout(5):
        items: tuple[object, ...] = ()
        while not items:
            with suppress(Unavailable, NotFound):
                items = (await client.recommend(MODEL, 1, 3, CONTEXT)).items
            await asyncio.sleep(0.01)
    await other.stop()


def infer_request(world: World, *, typed: bool) -> tuple[oip.ModelInferRequest, list[float]]:
    block = encode(SPEC, RankInput(1, CONTEXT, list(ITEMS), list(ITEMS.values())))
    request = oip.ModelInferRequest(model_name=MODEL, id="42")
    for name, array in feed(SPEC, block).items():
        is_int = array.dtype == np.int64
        tensor = request.inputs.add(name=name, datatype="INT64" if is_int else "FP32", shape=array.shape)
        if not typed:
            request.raw_input_contents.append(array.tobytes())
        elif is_int:
            tensor.contents.int64_contents.extend(array.reshape(-1).tolist())
        else:
            tensor.contents.fp32_contents.extend(array.reshape(-1).tolist())
    return request, world.trainer.logits(block).tolist()


@pytest.mark.parametrize("typed", [False, True], ids=["raw", "typed"])
async def test_model_infer(serving: World, typed: bool) -> None:  # noqa: FBT001
    request, expected = infer_request(serving, typed=typed)
    reply = await serving.oip.ModelInfer(request)
    outputs = dict(zip([output.name for output in reply.outputs], reply.raw_output_contents, strict=True))
    assert np.frombuffer(outputs["logit"], "<f4").tolist() == pytest.approx(expected, abs=1e-5)
    assert (reply.id, reply.model_version) == ("42", "1")
    assert reply.parameters["digest"].string_param == serving.versions[0]


async def test_a_label_is_asked_for_like_a_version(serving: World) -> None:
    request, _ = infer_request(serving, typed=False)
    request.model_version = "stable"
    assert (await serving.oip.ModelInfer(request)).model_version == "1"
    assert (await serving.oip.ModelReady(oip.ModelReadyRequest(name=MODEL, version="stable"))).ready
    request.model_version = "canary"
    assert (await serving.oip.ModelInfer(request)).model_version == "1"  # the first version is head and pin
    request.model_version = "beta"
    assert (await code_of(serving.oip.ModelInfer(request)))[0] is grpc.StatusCode.NOT_FOUND


async def test_open_inference_metadata_and_readiness(serving: World) -> None:
    assert (await serving.oip.ServerLive(oip.ServerLiveRequest())).live
    assert (await serving.oip.ServerReady(oip.ServerReadyRequest())).ready
    assert (await serving.oip.ModelReady(oip.ModelReadyRequest(name=MODEL, version="1"))).ready
    assert (await serving.oip.ServerMetadata(oip.ServerMetadataRequest())).name == "martlet"
    metadata = await serving.oip.ModelMetadata(oip.ModelMetadataRequest(name=MODEL))
    assert (list(metadata.versions), metadata.platform) == (["1"], "onnx_onnxv1")
    shapes = {tensor.name: (tensor.datatype, list(tensor.shape)) for tensor in metadata.inputs}
    assert shapes["history"] == ("INT64", [-1, 3])
    assert shapes["price"] == ("FP32", [-1, 1])
    assert [tensor.name for tensor in metadata.outputs] == ["score", "logit"]


async def code_of(call: Awaitable[object]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await call
    return failure.value.code(), failure.value.details() or ""


async def test_errors_have_their_status_and_say_which(serving: World) -> None:
    request, _ = infer_request(serving, typed=False)
    unknown = oip.ModelInferRequest(model_name="nobody")
    assert await code_of(serving.oip.ModelInfer(unknown)) == (grpc.StatusCode.NOT_FOUND, "no model 'nobody'")
    request.model_version = "9"
    assert await code_of(serving.oip.ModelInfer(request)) == (
        grpc.StatusCode.NOT_FOUND,
        "no version 9 of 'shop' is loaded",
    )
    request.model_version = ""
    request.inputs[1].shape[0] = 2
    code, details = await code_of(serving.oip.ModelInfer(request))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert f"'{request.inputs[1].name}'" in details
    with pytest.raises(NotFound, match="no model 'nobody'"):
        await serving.client.rank("nobody", 1, [3])
    with pytest.raises(NotFound, match="no version 9"):
        await serving.client.rank(MODEL, 1, [3], version=9)
    with pytest.raises(InvalidInput, match=r"item\.price"):
        await serving.client.rank(MODEL, 1, {3: {"item.price": "cheap"}})
    with pytest.raises(InvalidInput, match="51 candidates"):
        await serving.client.rank(MODEL, 1, range(51))
    with pytest.raises(InvalidInput, match="prediction_id and type"):
        await serving.client.record_outcomes([Outcome("", "", 3, "click", 1.0, 0)])


async def test_over_capacity_is_told_with_a_hint(serving: World) -> None:
    batcher = serving.app.batcher
    batcher._pending_rows, before = 10**9, batcher._pending_rows
    with pytest.raises(OverCapacity) as refused:
        await serving.client.rank(MODEL, 1, [3])
    assert refused.value.retry_after_ms == 50
    batcher._pending_rows = before
    assert (await serving.client.rank(MODEL, 1, [3])).items


async def test_a_second_process_cannot_take_the_replicas_place(serving: World) -> None:
    with pytest.raises(Exception, match="has a writer already"):
        ServingApp(serving.config, SystemClock(), CollectorRegistry())
    assert (await serving.client.rank(MODEL, 1, [3])).items
