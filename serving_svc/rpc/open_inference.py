"""The Open Inference Protocol's GRPCInferenceService."""

from typing import Any

import grpc.aio
from typing_extensions import override

from martlet import __version__
from martlet.clock import Clock
from martlet.errors import NotReady
from martlet.oip import open_inference_pb2 as pb
from martlet.oip import open_inference_pb2_grpc
from serving_svc.inference import Inference
from serving_svc.manager import Manager
from serving_svc.rpc.deadlines import deadline_of
from serving_svc.rpc.oip_codec import metadata_of, query_of, response_of, version_of
from serving_svc.servable import ServableId

Context = grpc.aio.ServicerContext[Any, Any]


class OpenInferenceServicer(open_inference_pb2_grpc.GRPCInferenceServiceServicer):
    """Decode, call, encode."""

    def __init__(self, inference: Inference, manager: Manager, clock: Clock) -> None:
        self._inference = inference
        self._manager = manager
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
        """Name and version of the server."""
        return pb.ServerMetadataResponse(name="martlet", version=__version__)

    @override
    async def ModelMetadata(self, request: pb.ModelMetadataRequest, context: Context) -> pb.ModelMetadataResponse:
        """Versions that are READY, and the tensors of the one asked for (or of the pin)."""
        servable = self._servable(request.name, request.version)
        with self._manager.handle(servable) as handle:
            signature = handle.servable.signature
        return pb.ModelMetadataResponse(
            name=request.name,
            versions=[str(version) for version in self._manager.ready_versions(request.name)],
            platform="onnx",
            inputs=[metadata_of(spec) for spec in signature.inputs],
            outputs=[metadata_of(spec) for spec in signature.outputs],
            properties={"version": str(servable.version), "digest": servable.digest},
        )

    @override
    async def ModelInfer(self, request: pb.ModelInferRequest, context: Context) -> pb.ModelInferResponse:
        """Runs a version's graph on the caller's tensors."""
        answer = await self._inference.infer(query_of(request), deadline_of(context, self._clock))
        return response_of(request, answer)

    def _servable(self, model: str, version: str) -> ServableId:
        number = version_of(version, model)
        if number:
            return self._manager.find(model, number)
        pin = self._manager.route(model).pin
        if pin is None:
            raise NotReady(f"no version of {model!r} is ready")
        return pin
