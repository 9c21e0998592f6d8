"""The one place where the domain's errors become gRPC statuses; it also counts, times and authorises every call."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, Final, NoReturn, TypeAlias, cast

import grpc
import grpc.aio
from google.protobuf import any_pb2, duration_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2

from martlet import errors
from martlet.client.channel import RETRY_AFTER
from martlet.runtime.auth import Authorizer, Metadata
from martlet.runtime.metrics import RpcMetrics

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"

Behaviour: TypeAlias = Callable[..., Any]

LONGEST_MESSAGE: Final = 500

logger = logging.getLogger(__name__)

STATUS_OF: Final[dict[type[errors.MartletError], grpc.StatusCode]] = {
    errors.NotFound: grpc.StatusCode.NOT_FOUND,
    errors.InvalidInput: grpc.StatusCode.INVALID_ARGUMENT,
    errors.Corrupt: grpc.StatusCode.INVALID_ARGUMENT,
    errors.NotReady: grpc.StatusCode.UNAVAILABLE,
    errors.Unavailable: grpc.StatusCode.UNAVAILABLE,
    errors.OverCapacity: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.DeadlinePassed: grpc.StatusCode.DEADLINE_EXCEEDED,
    errors.Conflict: grpc.StatusCode.FAILED_PRECONDITION,
    errors.AlreadyExists: grpc.StatusCode.ALREADY_EXISTS,
    errors.Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    errors.Forbidden: grpc.StatusCode.PERMISSION_DENIED,
}


def status_of(error: BaseException) -> grpc.StatusCode:
    """The status of an error: of its class, or of the nearest class it derives from; else INTERNAL."""
    for kind in type(error).__mro__:
        if kind in STATUS_OF:
            return STATUS_OF[kind]
    return grpc.StatusCode.INTERNAL


class EdgeInterceptor(grpc.aio.ServerInterceptor):
    """Wraps every call of a server."""

    def __init__(self, metrics: RpcMetrics, authorizer: Authorizer) -> None:
        self._metrics = metrics
        self._authorizer = authorizer

    async def intercept_service(
        self,
        continuation: "Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]]",
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "Handler | None":
        """Finds the handler and wraps it, whatever its shape; gRPC's own services (health, reflection) stay open."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or method.split("/")[1].startswith("grpc."):
            return handler
        behaviour, make = _shape(handler)
        wrap = self._stream if handler.response_streaming else self._unary
        return make(wrap(behaviour, method), handler.request_deserializer, handler.response_serializer)

    def _unary(self, behaviour: Behaviour, method: str) -> Behaviour:
        async def wrapped(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            with self._metrics.call(method) as outcome:
                try:
                    self._admit(context, method)
                    reply = await behaviour(request, context)
                    outcome.code, error = grpc.StatusCode.OK.name, None
                except Exception as caught:  # noqa: BLE001  the boundary: every error becomes a status here
                    outcome.code, error = status_of(caught).name, caught
            if error is not None:
                await self._fail(context, error, method)
            return reply

        return wrapped

    def _stream(self, behaviour: Behaviour, method: str) -> Behaviour:
        async def wrapped(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:
            with self._metrics.open_stream(method), self._metrics.call(method) as outcome:
                try:
                    self._admit(context, method)
                    async for message in behaviour(request, context):
                        yield message
                    outcome.code, error = grpc.StatusCode.OK.name, None
                except Exception as caught:  # noqa: BLE001  the boundary: every error becomes a status here
                    outcome.code, error = status_of(caught).name, caught
            if error is not None:
                await self._fail(context, error, method)

        return wrapped

    def _admit(self, context: grpc.aio.ServicerContext[Any, Any], method: str) -> None:
        if self._authorizer.enabled:
            self._authorizer.check(method, _metadata(context))

    async def _fail(self, context: grpc.aio.ServicerContext[Any, Any], error: Exception, method: str) -> NoReturn:
        code = status_of(error)
        if isinstance(error, grpc.aio.AbortError):
            raise error
        if code is grpc.StatusCode.INTERNAL:
            logger.error("%s failed unexpectedly", method, exc_info=error)
            self._metrics.internal_error()
            await context.abort(code, "internal error; the server's log has it")
        trailing = _retry_hint(error) if isinstance(error, errors.OverCapacity) else ()
        await context.abort(code, _told(error), trailing)


def _shape(handler: Handler) -> tuple[Any, "Callable[..., Handler]"]:
    """A handler's behaviour, and what makes a handler of that shape."""
    if handler.request_streaming:
        if handler.response_streaming:
            return handler.stream_stream, grpc.stream_stream_rpc_method_handler
        return handler.stream_unary, grpc.stream_unary_rpc_method_handler
    if handler.response_streaming:
        return handler.unary_stream, grpc.unary_stream_rpc_method_handler
    return handler.unary_unary, grpc.unary_unary_rpc_method_handler


def _told(error: Exception) -> str:
    """The error's sentence. It travels in a header: a longer one would cost the caller the whole status."""
    text = str(error)
    return text if len(text) <= LONGEST_MESSAGE else text[:LONGEST_MESSAGE] + "…"


def _metadata(context: grpc.aio.ServicerContext[Any, Any]) -> Metadata:
    return [
        (str(name), value) for name, value in cast("Iterable[tuple[str, str]]", context.invocation_metadata() or ())
    ]


def _retry_hint(error: errors.OverCapacity) -> tuple[tuple[str, str | bytes], ...]:
    delay = duration_pb2.Duration()
    delay.FromMilliseconds(error.retry_after_ms)
    detail = any_pb2.Any()
    detail.Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    status = status_pb2.Status(code=code_pb2.RESOURCE_EXHAUSTED, message=_told(error), details=[detail])
    return ((RETRY_AFTER, str(error.retry_after_ms)), ("grpc-status-details-bin", status.SerializeToString()))
