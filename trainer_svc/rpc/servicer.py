"""TrainerService over gRPC."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import grpc.aio
from typing_extensions import override

from martlet.errors import InvalidInput, NotFound
from martlet.v1 import trainer_pb2 as pb
from martlet.v1 import trainer_pb2_grpc
from martlet.wire.trainer import TrainerStatus, trainer_status_message
from trainer_svc.publisher import Offer

logger = logging.getLogger(__name__)


class TrainerServicer(trainer_pb2_grpc.TrainerServiceServicer):
    """Shows how the trainer stands, and takes an operator's word.

    Args:
        status: called on the event loop; must not wait.
        readmit: begins a re-admission; its future has the version.
    """

    def __init__(self, status: Callable[[], TrainerStatus], readmit: Callable[[int], "Future[Offer]"]) -> None:
        self._status = status
        self._readmit = readmit

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
        own = self._status().model
        if request.model != own:
            raise NotFound(f"this trainer learns {own!r}, not {request.model!r}")
        if not request.who.strip() or not request.why.strip():
            raise InvalidInput("who and why must be said")
        logger.warning("epoch %d: re-admission asked by %r: %r", request.epoch, request.who, request.why)
        offer = await asyncio.wrap_future(self._readmit(request.epoch))
        return pb.ReadmitRangeResponse(version=offer.version, digest=offer.digest)
