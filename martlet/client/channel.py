"""Channels and calls: keep-alive, token, retries, and statuses turned back into the domain's errors."""

import asyncio
import json
import math
import random
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Final, TypeVar, cast

import grpc
import grpc.aio

from martlet.errors import (
    AlreadyExists,
    Conflict,
    DeadlinePassed,
    Forbidden,
    InvalidInput,
    MartletError,
    NotFound,
    OverCapacity,
    Unauthenticated,
    Unavailable,
)

R = TypeVar("R")

RETRY_AFTER: Final = "retry-after-ms"
MAX_MESSAGE: Final = 64 << 20
OPTIONS: Final = [
    ("grpc.max_receive_message_length", MAX_MESSAGE),
    ("grpc.max_send_message_length", MAX_MESSAGE),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.enable_retries", 0),
    # A name is looked up again when a connection ends. gRPC's 30 s between two looks are longer than it takes to roll
    # all replicas: for the rest of that time a client would know addresses alone where nobody is any more.
    ("grpc.dns_min_time_between_resolutions_ms", 1_000),
]

# Each call goes to the next of the hosts that the address resolves to; gRPC's own default stays with the first.
BALANCED: Final = [*OPTIONS, ("grpc.service_config", json.dumps({"loadBalancingConfig": [{"round_robin": {}}]}))]

# Always tried again. CANCELLED is told of calls that had arrived at a server and were not taken up when it shut down;
# whoever cancels a call here does not ask how it ended.
_NOT_TAKEN_UP: Final = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED})
_PROXY_ERROR: Final = "Received http2 header with status: 5"
# Of a try with a time of its own: the host hung, or would not have been done in that time. Another one may be.
_SAYS_LITTLE: Final = frozenset({grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED})

_ERRORS: Final[dict[grpc.StatusCode, type[MartletError]]] = {
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.INVALID_ARGUMENT: InvalidInput,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.CANCELLED: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlinePassed,
    grpc.StatusCode.FAILED_PRECONDITION: Conflict,
    grpc.StatusCode.ALREADY_EXISTS: AlreadyExists,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.PERMISSION_DENIED: Forbidden,
}


@dataclass(frozen=True, slots=True)
class CallPolicy:
    """How long a call may take in all, and how often it is tried again where nobody has taken it up.

    Attributes:
        timeout: seconds for all tries together.
        tries: at most so many.
        backoff: seconds before the second try; doubled each time, with jitter.
        try_timeout: seconds for each try but the last, which gets all that is left: a host that hangs answers nobody,
            and another one may. A try that took longer, or was refused because it would, is repeated too.
    """

    timeout: float = 10.0
    tries: int = 4
    backoff: float = 0.1
    try_timeout: float = math.inf

    def allowed(self, attempt: int, left: float) -> float:
        """Seconds for an attempt (from 1), of what is left for all of them."""
        limit = self.try_timeout if attempt < self.tries else math.inf
        return max(min(left, limit), 0.001)

    def delay(self, attempt: int) -> float:
        """Seconds to wait after the given failed attempt (from 1)."""
        return float(self.backoff * 2 ** (attempt - 1) * random.uniform(0.5, 1.0))  # noqa: S311  jitter is no secret


SERVING_POLICY: Final = CallPolicy(tries=8, try_timeout=2.0)
"""What clients of serving have by default: every call may be repeated, and answers take milliseconds.

So many tries, for each may meet the same host again: one that has just started says for a second or two that it is not
ready, and with two hosts four tries in a row met it once in sixteen times.
"""


def domain_error(error: grpc.RpcError) -> MartletError:
    """The domain's error for a failed call."""
    code, details = error.code(), error.details() or ""
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        trailing = cast("Iterable[tuple[str, str]]", error.trailing_metadata() or ())
        waits = [int(value) for name, value in trailing if name == RETRY_AFTER and value.isdecimal()]
        return OverCapacity(details, *waits[:1])
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return MartletError("the service does not know this call: it is of an older release, and has to be upgraded")
    kind = _ERRORS.get(code)
    return kind(details) if kind else MartletError(f"{code.name}: {details}")


async def call(send: Callable[[float], Awaitable[R]], policy: CallPolicy) -> R:
    """Awaits `send(timeout)`, again as the policy says, until that ends it.

    Raises:
        MartletError: the domain's error of the last try.
    """
    end = time.monotonic() + policy.timeout
    for attempt in range(1, policy.tries + 1):
        try:
            return await send(policy.allowed(attempt, end - time.monotonic()))
        except grpc.aio.AioRpcError as error:
            delay = policy.delay(attempt)
            if not _again(error, attempt, policy, end - delay):
                raise domain_error(error) from None
            await asyncio.sleep(delay)
    raise Unavailable("no try was allowed")


def blocking_call(send: Callable[[float], R], policy: CallPolicy) -> R:
    """`call` for a thread."""
    end = time.monotonic() + policy.timeout
    for attempt in range(1, policy.tries + 1):
        try:
            return send(policy.allowed(attempt, end - time.monotonic()))
        except grpc.RpcError as error:
            delay = policy.delay(attempt)
            if not _again(error, attempt, policy, end - delay):
                raise domain_error(error) from None
            time.sleep(delay)
    raise Unavailable("no try was allowed")


def _again(error: grpc.RpcError, attempt: int, policy: CallPolicy, latest: float) -> bool:
    code, limited = error.code(), policy.try_timeout < math.inf
    elsewhere = code in _NOT_TAKEN_UP or (limited and code in _SAYS_LITTLE) or _proxy_failed(error)
    return elsewhere and attempt < policy.tries and time.monotonic() < latest


def _proxy_failed(error: grpc.RpcError) -> bool:
    """Whether an HTTP proxy answered 5xx in a server's place, which gRPC tells as UNKNOWN unless it is 502 to 504."""
    return error.code() is grpc.StatusCode.UNKNOWN and (error.details() or "").startswith(_PROXY_ERROR)
