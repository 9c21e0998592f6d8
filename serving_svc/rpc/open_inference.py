"""The Open Inference Protocol's GRPCInferenceService, with the extensions that Triton's clients ask for."""

from collections.abc import AsyncIterator
from typing import Any

import grpc.aio
from typing_extensions import override

from martlet import __version__
from martlet.clock import Clock
from martlet.errors import MartletError, NotFound, NotReady
from martlet.oip import open_inference_pb2 as pb
from martlet.oip import open_inference_pb2_grpc
from martlet.signature import Signature
from serving_svc.manager import Manager
from serving_svc.rpc.deadlines import deadline_of
from serving_svc.rpc.oip_codec import query_of, response_of, version_of
from serving_svc.rpc.oip_descriptions import EXTENSIONS, config_of, index_of, metadata_of, statistics_of
from serving_svc.servable import ServableId
from serving_svc.tensor_inference import TensorInference
from serving_svc.tensor_statistics import TensorStatistics
from serving_svc.traffic_split import LABELS, resolve_label

Context = grpc.aio.ServicerContext[Any, Any]


class OpenInferenceServicer(open_inference_pb2_grpc.GRPCInferenceServiceServicer):
    """Decode, call, encode."""

    def __init__(
        self, inference: TensorInference, manager: Manager, statistics: TensorStatistics, clock: Clock
    ) -> None:
        self._inference = inference
        self._manager = manager
        self._statistics = statistics
        self._clock = clock

    @override
    async def ServerLive(self, request: pb.ServerLiveRequest, context: Context) -> pb.ServerLiveResponse:
        """Whether the process answers."""
        return pb.ServerLiveResponse(live=True)

    @override
    async def ServerReady(self, request: pb.ServerReadyRequest, context: Context) -> pb.ServerReadyResponse:
        """Whether every aspired model can be answered."""
        return pb.ServerReadyResponse(ready=self._manager.is_ready())

    @override
    async def ModelReady(self, request: pb.ModelReadyRequest, context: Context) -> pb.ModelReadyResponse:
        """Whether the model, or this version of it, can be answered."""
        try:
            self._servable(request.name, request.version)
        except NotReady:
            return pb.ModelReadyResponse(ready=False)
        return pb.ModelReadyResponse(ready=True)

    @override
    async def ServerMetadata(self, request: pb.ServerMetadataRequest, context: Context) -> pb.ServerMetadataResponse:
        """Name and version of the server, and which of Triton's extensions it has."""
        return pb.ServerMetadataResponse(name="martlet", version=__version__, extensions=EXTENSIONS)

    @override
    async def ModelMetadata(self, request: pb.ModelMetadataRequest, context: Context) -> pb.ModelMetadataResponse:
        """Versions that are READY, and the tensors of the one asked for (or of the pin)."""
        servable = self._servable(request.name, request.version)
        return metadata_of(servable, self._signature(servable), self._manager.ready_versions(request.name))

    @override
    async def ModelInfer(self, request: pb.ModelInferRequest, context: Context) -> pb.ModelInferResponse:
        """Runs a version's graph on the caller's tensors."""
        if request.model_version in LABELS:
            request.model_version = str(self._servable(request.model_name, request.model_version).version)
        answer = await self._inference.infer(query_of(request), deadline_of(context, self._clock))
        return response_of(request.id, answer)

    @override
    async def ModelStreamInfer(
        self, request_iterator: AsyncIterator[pb.ModelInferRequest], context: Context
    ) -> AsyncIterator[pb.ModelStreamInferResponse]:
        """`ModelInfer` for each request in turn. What is wrong with one is its answer, and the stream goes on."""
        async for request in request_iterator:
            try:
                response = await self.ModelInfer(request, context)
            except MartletError as error:
                failed = pb.ModelInferResponse(model_name=request.model_name, id=request.id)
                yield pb.ModelStreamInferResponse(error_message=str(error), infer_response=failed)
            else:
                yield pb.ModelStreamInferResponse(infer_response=response)

    @override
    async def ModelConfig(self, request: pb.ModelConfigRequest, context: Context) -> pb.ModelConfigResponse:
        """The version's tensors as Triton's clients read them."""
        servable = self._servable(request.name, request.version)
        ready = self._manager.ready_versions(request.name)
        config = config_of(servable, self._signature(servable), ready, self._inference.max_rows)
        return pb.ModelConfigResponse(config=config)

    @override
    async def ModelStatistics(self, request: pb.ModelStatisticsRequest, context: Context) -> pb.ModelStatisticsResponse:
        """Counts and times of `ModelInfer` for each READY version that is meant."""
        totals = [statistics_of(servable, self._statistics.of(servable)) for servable in self._meant(request)]
        return pb.ModelStatisticsResponse(model_stats=totals)

    @override
    async def RepositoryIndex(self, request: pb.RepositoryIndexRequest, context: Context) -> pb.RepositoryIndexResponse:
        """Every version here and its state."""
        if request.repository_name:
            raise NotFound(f"no repository {request.repository_name!r}: there is one, the registry, without a name")
        return index_of(self._manager.statuses(), ready=request.ready)

    def _servable(self, model: str, version: str) -> ServableId:
        """The version that a number or a label names now; without either, the pin."""
        if version in LABELS:
            labelled = resolve_label(self._manager.route(model), version)
            if labelled is None:
                raise NotFound(f"no version of {model!r} is {version} now")
            return labelled
        number = version_of(version, model)
        if number:
            return self._manager.find(model, number)
        pin = self._manager.route(model).pin
        if pin is None:
            raise NotReady(f"no version of {model!r} is ready")
        return pin

    def _signature(self, servable: ServableId) -> Signature:
        with self._manager.handle(servable) as handle:
            return handle.servable.signature

    def _meant(self, request: pb.ModelStatisticsRequest) -> list[ServableId]:
        if request.version:
            return [self._servable(request.name, request.version)]
        if request.name:
            self._manager.route(request.name)  # raises if there is none
        models = [request.name] if request.name else self._manager.models()
        return [
            self._manager.find(model, version) for model in models for version in self._manager.ready_versions(model)
        ]
