"""A link to the registry that loses, repeats and reorders what goes over it."""

import random
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn

import grpc

FAULTS = ("lost", "unanswered", "repeated", "reordered")


class FaultyLink:
    """Passes unary calls on to an address, byte for byte. A call in `1 / rate` meets with a fault.

    Attributes:
        port: where it listens.
        faults: how often each came.
    """

    def __init__(self, address: str, rate: float, seed: int) -> None:
        self._channel = grpc.insecure_channel(address)
        self._rate = rate
        self._dice = random.Random(seed)  # noqa: S311  faults are no secret
        self._lock = threading.Lock()
        self._last: dict[str, bytes] = {}
        self.faults: Counter[str] = Counter()
        self._server = grpc.server(ThreadPoolExecutor(8), handlers=(_Handler(self.call),))
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()

    def call(self, method: str, request: bytes, context: Any) -> bytes:
        """One call."""
        with self._lock:
            fault = self._dice.choice(FAULTS) if self._dice.random() < self._rate else ""
            before, self._last[method] = self._last.get(method), request
            self.faults[fault or "none"] += 1
        if fault == "lost":
            context.abort(grpc.StatusCode.UNAVAILABLE, "lost on the way")
        reply = self._pass(method, request, context)
        if fault == "repeated":
            reply = self._pass(method, request, context)
        if fault == "reordered" and before is not None:
            self._pass_late(method, before)
        if fault == "unanswered":
            context.abort(grpc.StatusCode.UNAVAILABLE, "the answer was lost on the way")
        return reply

    def close(self) -> None:
        """Ends it."""
        self._server.stop(None)
        self._channel.close()

    def _pass(self, method: str, request: bytes, context: Any) -> bytes:
        try:
            return bytes(self._channel.unary_unary(method)(request, timeout=10))
        except grpc.RpcError as error:
            _abort_like(error, context)

    def _pass_late(self, method: str, request: bytes) -> None:
        """An older request arrives after a newer one; nobody waits for its answer."""
        try:
            self._channel.unary_unary(method)(request, timeout=10)
        except grpc.RpcError:
            return


class _Handler(grpc.GenericRpcHandler):
    def __init__(self, call: Callable[[str, bytes, Any], bytes]) -> None:
        self._call = call

    def service(self, handler_call_details: Any) -> grpc.RpcMethodHandler:
        method = handler_call_details.method
        return grpc.unary_unary_rpc_method_handler(lambda request, context: self._call(method, request, context))


def _abort_like(error: grpc.RpcError, context: Any) -> NoReturn:
    context.set_trailing_metadata(error.trailing_metadata() or ())
    context.abort(error.code(), error.details())
    raise AssertionError
