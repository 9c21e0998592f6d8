"""How a client tries again, and what a status becomes."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import grpc
import pytest

from martlet.client.bearer import bearer
from martlet.client.channel import RETRY_AFTER, CallPolicy, blocking_call, call, domain_error
from martlet.errors import DeadlinePassed, MartletError, NotFound, OverCapacity, Unavailable

QUICK = CallPolicy(timeout=5.0, tries=3, backoff=0.001)
NOT_TAKEN_UP = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)


class Failed(grpc.RpcError):
    """A failed call, as gRPC's blocking stubs raise it."""

    def __init__(
        self, code: grpc.StatusCode, trailing: tuple[tuple[str, str | bytes], ...] = (), details: str = "because"
    ) -> None:
        super().__init__()
        self._details = details
        self._code = code
        self._trailing = trailing

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._details

    def trailing_metadata(self) -> tuple[Any, ...]:
        return self._trailing


def fails(times: int, code: grpc.StatusCode, seen: list[float]) -> Callable[[float], str]:
    """A call that fails so often, then answers; it notes the timeouts it was given."""

    def send(timeout: float) -> str:
        seen.append(timeout)
        if len(seen) <= times:
            raise Failed(code)
        return "answer"

    return send


@pytest.mark.parametrize("code", NOT_TAKEN_UP)
def test_what_nobody_took_up_is_tried_again_within_one_deadline(code: grpc.StatusCode) -> None:
    """CANCELLED: of a server that shut down before it had looked at the call."""
    seen: list[float] = []
    assert blocking_call(fails(2, code, seen), QUICK) == "answer"
    first, second, third = seen
    assert QUICK.timeout >= first > second > third


@pytest.mark.parametrize(("status", "tries"), [(500, 2), (404, 1)])
def test_what_a_proxy_could_not_pass_on_is_tried_again(status: int, tries: int) -> None:
    """GRPC tells most HTTP statuses as UNKNOWN. Martlet's services answer with no other than 200."""
    seen: list[float] = []

    def send(timeout: float) -> str:
        seen.append(timeout)
        if len(seen) == 1:
            raise Failed(grpc.StatusCode.UNKNOWN, details=f"Received http2 header with status: {status}")
        return "answer"

    with suppress(MartletError):
        assert blocking_call(send, QUICK) == "answer"
    assert len(seen) == tries


def test_tries_are_bounded() -> None:
    seen: list[float] = []
    with pytest.raises(Unavailable, match="because"):
        blocking_call(fails(9, grpc.StatusCode.UNAVAILABLE, seen), QUICK)
    assert len(seen) == 3


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code not in NOT_TAKEN_UP])
def test_nothing_else_is_tried_again(code: grpc.StatusCode) -> None:
    seen: list[float] = []
    with pytest.raises(MartletError):
        blocking_call(fails(1, code, seen), QUICK)
    assert len(seen) == 1


@pytest.mark.parametrize("code", [grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED])
def test_a_try_with_a_time_of_its_own_is_repeated_and_the_last_gets_what_is_left(code: grpc.StatusCode) -> None:
    """It took too long there, or would have."""
    seen: list[float] = []
    policy = CallPolicy(timeout=5.0, tries=3, backoff=0.001, try_timeout=0.5)
    assert blocking_call(fails(2, code, seen), policy) == "answer"
    assert seen[:2] == [0.5, 0.5]
    assert seen[2] > 4.0
    with pytest.raises((DeadlinePassed, OverCapacity)):
        blocking_call(fails(9, code, []), policy)


def test_a_wait_that_would_outlast_the_deadline_is_not_begun() -> None:
    seen: list[float] = []
    started = time.monotonic()
    with pytest.raises(Unavailable):
        blocking_call(fails(1, grpc.StatusCode.UNAVAILABLE, seen), CallPolicy(timeout=0.2, tries=5, backoff=60.0))
    assert time.monotonic() - started < 0.2
    assert len(seen) == 1


async def test_the_event_loops_call_tries_again_too() -> None:
    tries = 0

    async def send(_timeout: float) -> str:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata())
        return "answer"

    assert await call(send, QUICK) == "answer"
    assert tries == 3


def test_the_backoff_doubles_with_jitter() -> None:
    policy = CallPolicy(backoff=1.0)
    for attempt, most in ((1, 1.0), (2, 2.0), (3, 4.0)):
        assert most / 2 <= policy.delay(attempt) <= most


def test_over_capacity_brings_the_servers_hint() -> None:
    error = domain_error(Failed(grpc.StatusCode.RESOURCE_EXHAUSTED, ((RETRY_AFTER, "120"), ("other", "x"))))
    assert isinstance(error, OverCapacity)
    assert error.retry_after_ms == 120


def test_over_capacity_without_a_hint_still_says_something() -> None:
    """Thus gRPC itself answers when a message is too large; a hint that is no number is no hint."""
    for trailing in ((), ((RETRY_AFTER, "soon"),)):
        error = domain_error(Failed(grpc.StatusCode.RESOURCE_EXHAUSTED, trailing))
        assert isinstance(error, OverCapacity)
        assert error.retry_after_ms > 0


def test_a_status_without_a_word_of_ours_keeps_its_name() -> None:
    error = domain_error(Failed(grpc.StatusCode.DATA_LOSS))
    assert type(error) is MartletError
    assert "DATA_LOSS" in str(error)
    assert type(domain_error(Failed(grpc.StatusCode.NOT_FOUND))) is NotFound


def test_without_a_token_nothing_is_sent() -> None:
    assert bearer("") == ()
    assert bearer("secret") == (("authorization", "Bearer secret"),)
