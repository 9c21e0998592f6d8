"""TrainerService over gRPC."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Protocol

import grpc.aio
from typing_extensions import override

from martlet.errors import InvalidInput, NotFound
from martlet.feature_encoding import ItemId
from martlet.runtime.caller import caller
from martlet.said import Said
from martlet.v1 import trainer_pb2 as pb
from martlet.v1 import trainer_pb2_grpc
from martlet.wire.strategy_runs import StrategyRun, run_message
from martlet.wire.trainer import Erasure, TrainerStatus, erasure_message, trainer_status_message
from martlet.wire.values import id_of
from trainer_svc.publisher import Offer

logger = logging.getLogger(__name__)


class Runs(Protocol):
    """What is asked of the strategies' runs. Thread-safe."""

    def start(self, strategy: str, said: Said) -> StrategyRun:
        """Begins a run; blocking, shortly.

        Raises:
            InvalidInput: no such strategy.
            Conflict: not now.
        """
        ...

    def listed(self) -> tuple[Sequence[StrategyRun], str]:
        """All runs, oldest first, and the live one's name; blocking, shortly."""
        ...


class TrainerServicer(trainer_pb2_grpc.TrainerServiceServicer):
    """Shows how the trainer stands, and takes an operator's word.

    Args:
        status: called on the event loop; must not wait.
        readmit: begins a re-admission; its future has the version.
        forget: begins an erasure; its future has it as it stands once the rows are gone.
        erasures: how far they have come.
        runs: of update strategies.
    """

    def __init__(
        self,
        status: Callable[[], TrainerStatus],
        readmit: Callable[[int], "Future[Offer]"],
        forget: Callable[[ItemId, Said], "Future[Erasure]"],
        erasures: Callable[[], Sequence[Erasure]],
        runs: Runs,
    ) -> None:
        self._runs = runs
        self._status = status
        self._readmit = readmit
        self._forget = forget
        self._erasures = erasures

    @override
    async def GetTrainerStatus(
        self, request: pb.GetTrainerStatusRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.GetTrainerStatusResponse:
        """The newest status."""
        return trainer_status_message(self._status())

    @override
    async def ReadmitRange(
        self, request: pb.ReadmitRangeRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.ReadmitRangeResponse:
        """Offers what an alarm took back."""
        self._check(request.model)
        _check_word(request.who, request.why)
        who = f"{request.who!r} ({caller() or 'not verified'})"
        logger.warning("epoch %d: re-admission asked by %s: %r", request.epoch, who, request.why)
        offer = await asyncio.wrap_future(self._readmit(request.epoch))
        return pb.ReadmitRangeResponse(version=offer.version, digest=offer.digest)

    @override
    async def ForgetUser(
        self, request: pb.ForgetUserRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.ForgetUserResponse:
        """Begins a user's erasure. Who it is, is not logged."""
        self._check(request.model)
        _check_word(request.who, request.why)
        user_id = id_of(request.user_id, "user_id")
        said = Said(request.who, request.why, caller())
        logger.warning("an erasure was asked by %r (%s): %r", said.who, said.caller or "not verified", said.why)
        return pb.ForgetUserResponse(erasure=erasure_message(await asyncio.wrap_future(self._forget(user_id, said))))

    @override
    async def ListErasures(
        self, request: pb.ListErasuresRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.ListErasuresResponse:
        """How far erasures have come."""
        self._check(request.model)
        return pb.ListErasuresResponse(erasures=[erasure_message(one) for one in self._erasures()])

    @override
    async def StartRun(
        self, request: pb.StartRunRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.StartRunResponse:
        """Begins a run of a strategy."""
        self._check(request.model)
        _check_word(request.who, request.why)
        said = Said(request.who, request.why, caller())
        run = await asyncio.to_thread(self._runs.start, request.strategy, said)
        return pb.StartRunResponse(run=run_message(run))

    @override
    async def ListRuns(
        self, request: pb.ListRunsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.ListRunsResponse:
        """How the runs stand."""
        self._check(request.model)
        runs, live = await asyncio.to_thread(self._runs.listed)
        return pb.ListRunsResponse(runs=[run_message(run) for run in runs], live=live)

    def _check(self, model: str) -> None:
        own = self._status().model
        if model != own:
            raise NotFound(f"this trainer learns {own!r}, not {model!r}")


def _check_word(who: str, why: str) -> None:
    if not who.strip() or not why.strip():
        raise InvalidInput("who and why must be said")
