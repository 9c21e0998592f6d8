"""TrainerService over gRPC."""

from typing import Any

from martlet.v1 import trainer_pb2, trainer_pb2_grpc
from martlet.wire.trainer import trainer_status_message
from trainer_svc.status import StatusBoard


class TrainerServicer(trainer_pb2_grpc.TrainerServiceServicer):
    """Shows how the trainer stands."""

    def __init__(self, board: StatusBoard) -> None:
        self._board = board

    async def GetTrainerStatus(
        self, request: trainer_pb2.GetTrainerStatusRequest, context: Any
    ) -> trainer_pb2.GetTrainerStatusResponse:
        """The newest status."""
        return trainer_status_message(self._board.read())
