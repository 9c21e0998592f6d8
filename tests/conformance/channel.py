"""Calls a server: plain values to protobuf and back. The only module that knows the generated stubs."""

from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self

import grpc

from tests.conformance.answer import Answer, FlagReply, InferReply, Output, Reply, ServerReply
from tests.conformance.case import About, Server
from tests.conformance.datatypes import CONTENTS
from tests.conformance.draft import PARAMETERS, UNKNOWN_PARAMETER, Draft
from tests.conformance.model import Model, Tensor
from tests.conformance.oip import open_inference_grpc_pb2 as pb
from tests.conformance.oip import open_inference_grpc_pb2_grpc

SECONDS: Final = 20.0


class Channel:
    """A connection; calls are not repeated, whatever comes."""

    def __init__(self, target: str) -> None:
        self._channel = grpc.insecure_channel(target, options=[("grpc.enable_retries", 0)])
        self._stub = open_inference_grpc_pb2_grpc.GRPCInferenceServiceStub(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._channel.close()

    def wait(self, seconds: float) -> None:
        """Waits for the connection.

        Raises:
            TimeoutError: there is none.
        """
        try:
            grpc.channel_ready_future(self._channel).result(seconds)
        except grpc.FutureTimeoutError:
            raise TimeoutError(f"no connection within {seconds:g} s") from None

    def server(self, call: Server) -> Answer:
        """`ServerLive`, `ServerReady` or `ServerMetadata`."""
        return self._call(call.rpc, getattr(pb, f"{call.rpc}Request")())

    def about(self, call: About) -> Answer:
        """`ModelReady` or `ModelMetadata`; the name and the version are meant literally."""
        return self._call(call.rpc, getattr(pb, f"{call.rpc}Request")(name=call.name, version=call.version))

    def infer(self, draft: Draft) -> Answer:
        """`ModelInfer`."""
        return self._call("ModelInfer", _request(draft))

    def _call(self, rpc: str, request: Any) -> Answer:
        try:
            reply = getattr(self._stub, rpc)(request, timeout=SECONDS)
        except grpc.RpcError as error:
            return Answer(error.code().name, error.details() or "")
        return Answer("OK", "", _READERS[rpc](reply))


def _request(draft: Draft) -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(
        model_name=draft.model, model_version=draft.version, id=draft.id, raw_input_contents=draft.raw or ()
    )
    _set_parameter(request, draft.parameter)
    for tensor in draft.inputs:
        added = request.inputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        _set_parameter(added, tensor.parameter)
        for field, values in (tensor.contents or {}).items():
            getattr(added.contents, field).extend(values)
    for name in draft.outputs:
        _set_parameter(request.outputs.add(name=name), draft.output_parameter)
    return request


def _set_parameter(message: Any, kind: str) -> None:
    if kind:
        setattr(message.parameters[UNKNOWN_PARAMETER], kind, PARAMETERS[kind])


def _flag(field: str) -> Callable[[Any], Reply]:
    return lambda reply: FlagReply(getattr(reply, field))


def _server(reply: pb.ServerMetadataResponse) -> Reply:
    return ServerReply(reply.name, reply.version, tuple(reply.extensions))


def _model(reply: pb.ModelMetadataResponse) -> Reply:
    inputs, outputs = (
        tuple(Tensor(tensor.name, tensor.datatype, tuple(tensor.shape)) for tensor in tensors)
        for tensors in (reply.inputs, reply.outputs)
    )
    return Model(reply.name, tuple(reply.versions), reply.platform, inputs, outputs)


def _infer(reply: pb.ModelInferResponse) -> Reply:
    outputs = tuple(
        Output(
            output.name,
            output.datatype,
            tuple(output.shape),
            {field: list(getattr(output.contents, field)) for field in CONTENTS if getattr(output.contents, field)},
        )
        for output in reply.outputs
    )
    parameters = {name: value.WhichOneof("parameter_choice") or "" for name, value in reply.parameters.items()}
    return InferReply(
        reply.model_name, reply.model_version, reply.id, parameters, outputs, tuple(reply.raw_output_contents)
    )


_READERS: Final[dict[str, Callable[[Any], Reply]]] = {
    "ServerLive": _flag("live"),
    "ServerReady": _flag("ready"),
    "ModelReady": _flag("ready"),
    "ServerMetadata": _server,
    "ModelMetadata": _model,
    "ModelInfer": _infer,
}
