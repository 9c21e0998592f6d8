"""TrainerService over gRPC."""

from collections.abc import Callable
from typing import Any

import grpc.aio
from typing_extensions import override

from martlet.v1 import trainer_pb2 as pb
from martlet.v1 import trainer_pb2_grpc
from martlet.wire.trainer import TrainerStatus, trainer_status_message


class TrainerServicer(trainer_pb2_grpc.TrainerServiceServicer):
    """Shows how the trainer stands. `status` is called on the event loop and must not wait."""

    def __init__(self, status: Callable[[], TrainerStatus]) -> None:
        self._status = status

    @override
    async def GetTrainerStatus(
        self, request: pb.GetTrainerStatusRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.GetTrainerStatusResponse:
        """The newest status."""
        return trainer_status_message(self._status())
