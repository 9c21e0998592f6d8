"""The one place where the domain's errors become gRPC statuses; it also counts, times and authorises every call."""

import asyncio
import logging
import re
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NoReturn, TypeAlias, cast

import grpc
import grpc.aio
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import DecodeError
from google.rpc import code_pb2, error_details_pb2, status_pb2

from martlet import errors
from martlet.client.channel import RETRY_AFTER
from martlet.redaction import without_paths
from martlet.runtime.auth import OPEN, Authorizer, Metadata
from martlet.runtime.caller import CALLER, caller
from martlet.runtime.denial_metrics import GRPC, DenialMetrics
from martlet.runtime.door import Door, Usual
from martlet.runtime.metrics import RpcMetrics
from martlet.runtime.tracing import Tracer, parent_in

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"

Behaviour: TypeAlias = Callable[..., Any]

LONGEST_MESSAGE: Final = 500
REQUEST_ID: Final = "x-request-id"
_PLAIN_ID: Final = re.compile(r"[\w.:+/=-]{1,100}", re.ASCII)

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


class Edge(grpc.GenericRpcHandler):
    """All methods of a server, each wrapped once.

    Stands in for the server where generated code adds servicers. gRPC's aio server waits on one future for each method
    that is registered with it, and looks at all of them for every call; interceptors cost two more coroutines a call.
    Found here by name, in one generic handler, a method costs a dictionary's look-up.
    """

    def __init__(
        self,
        metrics: RpcMetrics,
        denials: DenialMetrics,
        authorizer: Authorizer,
        door: Door,
        tracer: Tracer | None = None,
    ) -> None:
        self._denials = denials
        self._tracer = tracer
        self._metrics = metrics
        self._door = door
        self._authorizer = authorizer
        self._handlers: dict[str, Handler] = {}

    def add_generic_rpc_handlers(self, _handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """Generated code gives the same methods to `add_registered_method_handlers`."""

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Handler]) -> None:
        """Takes a servicer's methods; those that are open to everybody (health) stay as they are, and uncounted."""
        for name, handler in handlers.items():
            method = f"/{service}/{name}"
            self._handlers[method] = handler if method in OPEN else self._wrapped(handler, method)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "Handler | None":
        """The handler of a call; None: there is no such method."""
        return self._handlers.get(handler_call_details.method)

    def _wrapped(self, handler: Handler, method: str) -> Handler:
        behaviour, make = _shape(handler)
        if self._tracer is not None and not handler.response_streaming:
            behaviour = _traced(behaviour, method, self._tracer)
        if handler.response_streaming:
            decoded = _stream_decoder(handler) if handler.request_streaming else _decoder(handler)
            return make(self._stream(behaviour, method, decoded), None, handler.response_serializer)
        if handler.request_streaming:
            wrapped = self._unary(behaviour, method, lambda requests: requests)
            return make(wrapped, handler.request_deserializer, handler.response_serializer)
        return make(self._unary(behaviour, method, _decoder(handler)), None, handler.response_serializer)

    def _unary(self, behaviour: Behaviour, method: str, decoded: Callable[[Any], Any]) -> Behaviour:
        """Refuses what cannot be answered in time before it decodes it: under overload that is most of the work."""
        admit = self._admit if self._authorizer.asks else None
        answered = self._metrics.duration(method, grpc.StatusCode.OK.name)
        door, usual, now = self._door, self._door.method(method), time.perf_counter

        async def wrapped(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            started = now()
            door.inside += 1
            usual.inside += 1
            try:
                if admit is not None:
                    admit(context, method)
                if not door.fits(context.time_remaining(), usual):
                    raise _crowded(usual)  # noqa: TRY301  mapped and counted as every error
                reply = await behaviour(decoded(request), context)
            except Exception as error:  # noqa: BLE001  the boundary: every error becomes a status here
                self._metrics.duration(method, status_of(error).name).observe(now() - started)
                return await self._fail(context, error, method)
            except asyncio.CancelledError:
                self._metrics.duration(method, grpc.StatusCode.CANCELLED.name).observe(now() - started)
                usual.add(now() - started)
                raise
            finally:
                door.inside -= 1
                usual.inside -= 1
            seconds = now() - started
            answered.observe(seconds)
            usual.add(seconds)
            return reply

        return wrapped

    def _stream(self, behaviour: Behaviour, method: str, decoded: Callable[[Any], Any]) -> Behaviour:
        door = self._door
        self._metrics.expect_streams(method)

        async def wrapped(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:
            with self._metrics.open_stream(method), self._metrics.call(method) as outcome, door.stream():
                try:
                    if self._authorizer.asks:
                        self._admit(context, method)
                    door.check_streams()
                    async for message in behaviour(decoded(request), context):
                        yield message
                    outcome.code, error = grpc.StatusCode.OK.name, None
                except Exception as caught:  # noqa: BLE001  the boundary: every error becomes a status here
                    outcome.code, error = status_of(caught).name, caught
            if error is not None:
                await self._fail(context, error, method)

        return wrapped

    def _admit(self, context: grpc.aio.ServicerContext[Any, Any], method: str) -> None:
        """Lets the caller in, and remembers for the rest of the call who it is."""
        try:
            CALLER.set(self._authorizer.check(method, _metadata(context), _certificate_names(context)))
        except (errors.Unauthenticated, errors.Forbidden) as error:
            self._denials.denied(GRPC, error)
            raise

    async def _fail(self, context: grpc.aio.ServicerContext[Any, Any], error: Exception, method: str) -> NoReturn:
        code = status_of(error)
        if isinstance(error, grpc.aio.AbortError):
            raise error
        if code is grpc.StatusCode.INTERNAL:
            request = _request_id(context)
            about = {"method": method, "request": request, "caller": caller()}
            logger.error("%s failed unexpectedly (request %s)", method, request, exc_info=error, extra=about)
            self._metrics.internal_error()
            await context.abort(code, f"internal error; the server's log has it as request {request}")
        trailing = _retry_hint(error) if isinstance(error, errors.OverCapacity) else ()
        await context.abort(code, _told(error), trailing)


def _traced(behaviour: Behaviour, method: str, tracer: Tracer) -> Behaviour:
    """A behaviour whose calls are spans; a caller's trace goes on in them."""
    name = method.removeprefix("/")

    async def traced(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        with tracer.span(name, parent=parent_in(_metadata(context)), server=True):
            return await behaviour(request, context)

    return traced


def _decoder(handler: Handler) -> Callable[[Any], Any]:
    decode = handler.request_deserializer
    if decode is None:
        return lambda request: request

    def decoded(request: bytes) -> Any:
        try:
            return decode(request)
        except DecodeError as error:
            raise errors.InvalidInput(f"the request is no message of its type: {error}") from error

    return decoded


def _stream_decoder(handler: Handler) -> Callable[[AsyncIterator[Any]], AsyncIterator[Any]]:
    """GRPC itself would call a request that it cannot decode an error of the server's."""
    decode = _decoder(handler)

    async def decoded(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async for request in requests:
            yield decode(request)

    return decoded


def _crowded(usual: Usual) -> errors.OverCapacity:
    return errors.OverCapacity("too many calls are under way to finish this one in time", max(1, int(usual.mean * 1e3)))


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
    text = without_paths(str(error))
    return text if len(text) <= LONGEST_MESSAGE else text[:LONGEST_MESSAGE] + "…"


def _metadata(context: grpc.aio.ServicerContext[Any, Any]) -> Metadata:
    return [
        (str(name), value) for name, value in cast("Iterable[tuple[str, str]]", context.invocation_metadata() or ())
    ]


def _request_id(context: grpc.aio.ServicerContext[Any, Any]) -> str:
    """What the caller calls its request (metadata x-request-id), if that can be printed; else a new name."""
    given = next((str(value) for name, value in _metadata(context) if name == REQUEST_ID), "")
    return given if _PLAIN_ID.fullmatch(given) else secrets.token_hex(8)


def _certificate_names(context: grpc.aio.ServicerContext[Any, Any]) -> list[str]:
    """Common name and alternative names of the caller's certificate, which gRPC has verified; none: it showed none."""
    told = context.auth_context()
    values = (*told.get("x509_common_name", ()), *told.get("x509_subject_alternative_name", ()))
    return list(dict.fromkeys(value.decode("utf-8", "replace") for value in values))


def _retry_hint(error: errors.OverCapacity) -> tuple[tuple[str, str | bytes], ...]:
    delay = duration_pb2.Duration()
    delay.FromMilliseconds(error.retry_after_ms)
    detail = any_pb2.Any()
    detail.Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    status = status_pb2.Status(code=code_pb2.RESOURCE_EXHAUSTED, message=_told(error), details=[detail])
    return ((RETRY_AFTER, str(error.retry_after_ms)), ("grpc-status-details-bin", status.SerializeToString()))
