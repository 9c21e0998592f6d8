"""The three services' RPCs, fed bytes where gRPC hands them over: each call must end with a clear status.

The handlers are those of real services; only the wire before them is left out, so that thousands of requests a second
go through. INTERNAL and UNKNOWN are crashes.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
import numpy as np
from prometheus_client import CollectorRegistry

from martlet.artifacts import FolderStore
from martlet.clock import SystemClock
from martlet.errors import Conflict
from martlet.manifest import encode_manifest
from martlet.oip import open_inference_pb2 as oip
from martlet.runtime.auth import Authorizer
from martlet.runtime.config import AuthConfig, Config, RegistryConfig, ServingConfig
from martlet.runtime.server import Listen, Server
from martlet.said import Said
from martlet.v1 import events_pb2, registry_pb2, serving_pb2, trainer_pb2, trainer_pb2_grpc
from martlet.versions import AspiredModel, AspiredVersion, Role
from martlet.wire.trainer import TrainerStatus
from registry_svc.app import RegistryApp
from serving_svc.app import ServingApp
from tests.integration.tiny_version import MODEL, TinyTrainer
from tests.unit.core.samples import MANIFEST
from trainer_svc.rpc.servicer import TrainerServicer

SECONDS = 5.0
SKIPPED = frozenset({"/martlet.v1.RegistryService/WatchAspired"})  # it never ends; its request is read like the others
WRONG = frozenset({grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN})


class UnclearStatusError(Exception):
    """A call ended with a status that tells its caller nothing."""


class _Aborted(Exception):
    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__(f"{code.name}: {details}")
        self.code = code


@dataclass
class Context:
    """What a handler may ask of a call."""

    trailing: list[Any] = field(default_factory=list)

    def time_remaining(self) -> float:
        return SECONDS

    def invocation_metadata(self) -> Sequence[tuple[str, str]]:
        return ()

    def auth_context(self) -> dict[str, list[bytes]]:
        return {}

    async def abort(self, code: grpc.StatusCode, details: str = "", trailing: Any = ()) -> None:
        raise _Aborted(code, details)


class Edges:
    """All three services in this process, with one version in serving. A context manager; blocking."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._runner = asyncio.Runner()
        self._handlers: dict[str, Any] = {}
        self._stop: list[Any] = []

    def __enter__(self) -> Self:
        self._runner.run(self._start())
        self.methods = sorted(self._handlers)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._runner.run(self._end())
        self._runner.close()

    def seeds(self, service: str) -> list[bytes]:
        """Good requests of a service: the number of the method, then the message."""
        good = _requests()
        return [
            bytes([number]) + message
            for number, method in enumerate(self.methods)
            if method.startswith(f"/{service}")
            for message in [one.SerializeToString() for one in good.get(method, ())] or [b""]
        ]

    def call(self, data: bytes) -> None:
        """One request. Its first byte says which method.

        Raises:
            UnclearStatusError: INTERNAL or UNKNOWN.
            TimeoutError: it hangs.
        """
        if data:
            method = self.methods[data[0] % len(self.methods)]
            self._runner.run(self._called(method, data[1:]))

    async def _called(self, method: str, request: bytes) -> None:
        handler = self._handlers[method]
        try:
            async with asyncio.timeout(2 * SECONDS):
                if handler.response_streaming:
                    async for reply in handler.stream_stream(_one(request), Context()):
                        handler.response_serializer(reply)
                else:
                    handler.response_serializer(await handler.unary_unary(request, Context()))
        except _Aborted as aborted:
            if aborted.code in WRONG:
                raise UnclearStatusError(f"{method}: {aborted}") from aborted

    async def _start(self) -> None:
        store = FolderStore(self._root / "serving" / "artifacts")
        trainer = TinyTrainer(store)
        for item in range(8):
            trainer.learn("item", item, [item * 0.1, 1.0, 0.2, 0.5])
        digest = trainer.publish()
        serving = ServingApp(
            Config(
                data_dir=self._root / "serving",
                serving=ServingConfig(grpc_port=0, metrics_port=0, registry="127.0.0.1:1", max_candidates=64),
            ),
            SystemClock(),
            CollectorRegistry(),
        )
        await serving.start()
        serving.manager.aspire(AspiredModel(MODEL, 1, 1, "salt", (AspiredVersion(1, digest, Role.PIN, 10_000),)))
        async with asyncio.timeout(30):
            while not serving.manager.is_ready():
                await asyncio.sleep(0.02)
                serving.manager.synced()
        registry = RegistryApp(
            Config(data_dir=self._root / "registry", registry=RegistryConfig(grpc_port=0, metrics_port=0)),
            CollectorRegistry(),
        )
        await registry.start()
        played = _trainer()
        await played.start()
        self._stop = [serving.stop, registry.stop, lambda: played.stop(0)]
        for server in (serving.server, registry.server, played):
            handlers = server._edge._handlers
            self._handlers |= {
                name: handler
                for name, handler in handlers.items()
                if not name.startswith("/grpc.") and name not in SKIPPED
            }

    async def _end(self) -> None:
        for stop in self._stop:
            await stop()


async def _one(request: bytes) -> AsyncIterator[bytes]:
    yield request


class NoRuns:
    def start(self, strategy: str, said: Said) -> Any:
        raise Conflict("it cannot be done now")

    def listed(self) -> tuple[Sequence[Any], str]:
        return (), "live"


def _trainer() -> Server:
    """The trainer's service in front of a trainer that refuses everything."""

    def refused(*_arguments: Any) -> "Future[Any]":
        future: Future[Any] = Future()
        future.set_exception(Conflict("it cannot be done now"))
        return future

    status = TrainerStatus("shop", 0, 0, {}, 0, 0, 0, 0, 0, "", 0, 0, {}, "")
    servicer = TrainerServicer(lambda: status, refused, refused, list, NoRuns())
    server = Server("trainer", Listen("127.0.0.1", 0, 0), CollectorRegistry(), Authorizer(AuthConfig()))
    server.add(
        "martlet.v1.TrainerService", lambda to: trainer_pb2_grpc.add_TrainerServiceServicer_to_server(servicer, to)
    )
    return server


def _requests() -> dict[str, list[Any]]:
    """A good request or two of each method that takes more than a name."""
    item, value = events_pb2.Id(number=3), events_pb2.FeatureValue(number=2.5)
    numbers = (events_pb2.Id(number=n) for n in (1, 2))
    ranked = serving_pb2.RankRequest(
        model=MODEL,
        user_id=item,
        context={"context.hour": value},
        candidates=[serving_pb2.Candidate(item_id=number, features={"item.price": value}) for number in numbers],
        exploration=serving_pb2.Exploration(epsilon=0.5),
    )
    among = serving_pb2.ItemFilter()
    getattr(among, "in").CopyFrom(serving_pb2.AttributeIn(attribute="item.brand", values=[value]))
    priced = serving_pb2.ItemFilter(range=serving_pb2.AttributeRange(attribute="item.price", min=1.0))
    only = serving_pb2.ItemFilter(any=serving_pb2.ItemFilters(filters=[priced, among]))
    recommended = serving_pb2.RecommendRequest(model=MODEL, user_id=item, k=3, exclude=[item], filter=only)
    explained = serving_pb2.ExplainRequest(
        model=MODEL, user_id=item, candidate=serving_pb2.Candidate(item_id=item), permutations=4, seed=1
    )
    outcome = events_pb2.Outcome(prediction_id="p", item_id=item, type="click", value=1.0)
    offered = events_pb2.Item(item_id=item, attributes={"item.price": value})
    row = registry_pb2.EvidenceRow(time_us=5, epoch=1, version=1, label=1.0, scored_by=[1, 2], logits=[0.5, 0.25])
    word = {"model": "shop", "who": "ann", "why": "a drill"}
    serving, registry, rollout = (f"/martlet.v1.{name}Service/" for name in ("Serving", "Registry", "Rollout"))
    return {
        serving + "Rank": [ranked],
        serving + "Recommend": [recommended],
        serving + "Explain": [explained],
        serving + "GetServingStatus": [serving_pb2.GetServingStatusRequest()],
        "/martlet.v1.EventsService/RecordOutcomes": [events_pb2.RecordOutcomesRequest(outcomes=[outcome])],
        "/martlet.v1.EventsService/UpsertItems": [events_pb2.UpsertItemsRequest(model=MODEL, items=[offered])],
        "/martlet.v1.EventsService/DeleteItems": [events_pb2.DeleteItemsRequest(model=MODEL, item_ids=[item])],
        registry + "PublishVersion": [registry_pb2.PublishVersionRequest(manifest=encode_manifest(MANIFEST))],
        registry + "GetVersion": [registry_pb2.GetVersionRequest(model="shop", version=1)],
        registry + "ListVersions": [registry_pb2.ListVersionsRequest(model="shop", after_version=1, page_size=2)],
        registry + "GetLineage": [registry_pb2.GetLineageRequest(model="shop")],
        registry + "ReportReplica": [
            registry_pb2.ReportReplicaRequest(
                replica="r",
                servables=[
                    serving_pb2.ServableStatus(model="shop", version=1, digest="mt1", state=6, reason="no", requests=3)  # type: ignore[arg-type]
                ],
            )
        ],
        registry + "ReportMeasurements": [
            registry_pb2.ReportMeasurementsRequest(
                producer="p", sequence=1, measurements=[registry_pb2.Measurement(model="shop", name="auc", sum=1.0)]
            )
        ],
        registry + "ReportEvidence": [
            registry_pb2.ReportEvidenceRequest(producer="p", sequence=1, model="shop", rows=[row])
        ],
        registry + "AcknowledgeRewind": [registry_pb2.AcknowledgeRewindRequest(model="shop", epoch=1, digest="d")],
        registry + "ExpireVersions": [registry_pb2.ExpireVersionsRequest(below_version=3, **word)],
        rollout + "ShowRollout": [registry_pb2.ShowRolloutRequest(model="shop", decisions=3)],
        rollout + "PromoteVersion": [registry_pb2.PromoteVersionRequest(version=1, **word)],
        rollout + "AbortRollout": [registry_pb2.AbortRolloutRequest(**word)],
        rollout + "PinVersion": [registry_pb2.PinVersionRequest(version=1, **word)],
        rollout + "ThawRollout": [registry_pb2.ThawRolloutRequest(**word)],
        "/martlet.v1.TrainerService/ForgetUser": [trainer_pb2.ForgetUserRequest(user_id=item, **word)],
        "/martlet.v1.TrainerService/ReadmitRange": [trainer_pb2.ReadmitRangeRequest(epoch=1, **word)],
        "/martlet.v1.TrainerService/StartRun": [trainer_pb2.StartRunRequest(strategy="retrain", **word)],
        "/martlet.v1.TrainerService/ListErasures": [trainer_pb2.ListErasuresRequest(model="shop")],
        "/inference.GRPCInferenceService/ModelInfer": [_tensors(raw=False), _tensors(raw=True)],
        "/inference.GRPCInferenceService/ModelStreamInfer": [_tensors(raw=True)],
        "/inference.GRPCInferenceService/ModelMetadata": [oip.ModelMetadataRequest(name=MODEL)],
        "/inference.GRPCInferenceService/ModelReady": [oip.ModelReadyRequest(name=MODEL)],
        "/inference.GRPCInferenceService/ModelConfig": [oip.ModelConfigRequest(name=MODEL)],
        "/inference.GRPCInferenceService/ModelStatistics": [oip.ModelStatisticsRequest(name=MODEL)],
    }


def _tensors(*, raw: bool) -> oip.ModelInferRequest:
    """The tiny version's inputs, as numbers or as raw bytes."""
    inputs: dict[str, tuple[str, list[int], Any]] = {
        "user": ("INT64", [1], np.array([3])),
        "history": ("INT64", [1, 2], np.array([1, 2])),
        "history_mask": ("BOOL", [1, 2], np.array([True, False])),
        "hour": ("FP32", [1, 1], np.array([2.0], np.float32)),
        "item": ("INT64", [2], np.array([1, 2])),
        "price": ("FP32", [2, 1], np.array([1.0, 2.0], np.float32)),
        "row_of_user": ("INT64", [2], np.array([0, 0])),
    }
    request = oip.ModelInferRequest(model_name=MODEL)
    for name, (datatype, shape, values) in inputs.items():
        tensor = request.inputs.add(name=name, datatype=datatype, shape=shape)
        if raw:
            request.raw_input_contents.append(values.tobytes())
        else:
            kind = {"INT64": "int64_contents", "BOOL": "bool_contents", "FP32": "fp32_contents"}[datatype]
            getattr(tensor.contents, kind).extend(values.tolist())
    return request
