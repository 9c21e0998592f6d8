"""Who answers a request: the version that the split (or the caller) chose, and the pin if that one fails.

A request sees one version. A version fails when it raises or gives no number; then the pin answers within the same
call, unless the caller named the version.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from martlet.clock import Clock
from martlet.errors import DeadlinePassed, InvalidInput, NotReady, OverCapacity
from martlet.events import Arm
from martlet.feature_encoding import ItemId
from serving_svc.health_meter import HealthMeter
from serving_svc.loader import ServableHandle
from serving_svc.servable import ServableId
from serving_svc.traffic_split import Choice, Route, bucket_of, choose

T = TypeVar("T")


class Versions(Protocol):
    """The part of a manager that requests need."""

    def route(self, model: str) -> Route:
        """The model's route as it stands."""
        ...

    def find(self, model: str, version: int) -> ServableId:
        """The READY version with this number."""
        ...

    def handle(self, servable: ServableId) -> ServableHandle:
        """A counted reference."""
        ...


@dataclass(frozen=True, slots=True)
class Answered(Generic[T]):
    """What a version gave, which version it was, and the split as it stood."""

    choice: Choice
    route: Route
    result: T


@dataclass(frozen=True, slots=True)
class Asked(Generic[T]):
    """How to ask a version.

    Attributes:
        attempt: asks it; may be called twice. The handle is good until it returns.
        finite: whether the result holds numbers only.
        measured: whether it counts in the version's health; no, if it is other work than what users wait for.
    """

    attempt: Callable[[ServableHandle], Awaitable[T]]
    finite: Callable[[T], bool]
    measured: bool = True


class VersionFailedError(Exception):
    """A version could not answer; the message or the cause says why."""


class Answering:
    """Lives on one event loop.

    Args:
        lease_open: whether a model's live lane may be used now.
        next_id: a new id, for requests that say nothing of their session.
    """

    def __init__(
        self,
        versions: Versions,
        meter: HealthMeter,
        clock: Clock,
        *,
        lease_open: Callable[[str], bool],
        next_id: Callable[[], str],
    ) -> None:
        self._versions = versions
        self._meter = meter
        self._clock = clock
        self._lease_open = lease_open
        self._next_id = next_id

    async def answer(self, model: str, version: int, session: str, asked: Asked[T]) -> Answered[T]:
        """Asks the chosen version and, if it fails, the pin. `version` 0: the traffic split chooses.

        Raises:
            NotFound: no such model, or the named version is not loaded.
            NotReady: no version can answer.
        """
        route = self._versions.route(model)
        choice = self._choose(route, version, session)
        try:
            return Answered(choice, route, await self._ask(choice.servable, asked))
        except VersionFailedError as failure:
            route = self._versions.route(model)
            if choice.arm is Arm.EXPLICIT or route.pin is None or route.pin == choice.servable:
                raise _cannot_answer(choice.servable) from failure
        choice = Choice(choice.bucket, choice.weight, Arm.PIN, route.pin)
        try:
            return Answered(choice, route, await self._ask(route.pin, asked))
        except VersionFailedError as failure:
            raise _cannot_answer(route.pin) from failure

    def _choose(self, route: Route, version: int, session: str) -> Choice:
        if version:
            servable = self._versions.find(route.model, version)
            return Choice(bucket_of(route.salt, session), route.lane_weight, Arm.EXPLICIT, servable)
        key = session or self._next_id()  # who does not say who it is cannot be kept in one arm
        choice = choose(route, key, lease_open=self._lease_open(route.model))
        if choice is None:
            raise NotReady(f"no version of {route.model!r} is ready")
        return choice

    async def _ask(self, servable: ServableId, asked: Asked[T]) -> T:
        with self._versions.handle(servable) as handle:
            health = self._meter.of(servable)
            started = self._clock.monotonic()
            try:
                result = await asked.attempt(handle)
            except (InvalidInput, OverCapacity, DeadlinePassed, asyncio.CancelledError):
                raise  # the caller's doing, not the version's
            except Exception as error:
                if asked.measured:
                    health.failed(not_finite=False)
                raise VersionFailedError from error
            if not asked.finite(result):
                if asked.measured:
                    health.failed(not_finite=True)
                raise VersionFailedError("its scores are not finite")
            if asked.measured:
                health.answered(self._clock.monotonic() - started)
            return result


def session_of(session_id: str, user_id: ItemId | None) -> str:
    """What the traffic split keeps in one arm: the session, else the user; "" if neither is known."""
    if session_id:
        return session_id
    return "" if user_id is None else str(user_id)


def _cannot_answer(servable: ServableId) -> NotReady:
    return NotReady(f"version {servable.version} of {servable.model!r} failed, and no other can answer in its place")
