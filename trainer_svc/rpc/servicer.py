"""TrainerService over gRPC."""

from typing import Any

from martlet.v1 import events_pb2, trainer_pb2, trainer_pb2_grpc
from trainer_svc.status import StatusBoard


class TrainerServicer(trainer_pb2_grpc.TrainerServiceServicer):
    """Shows how the trainer stands."""

    def __init__(self, board: StatusBoard) -> None:
        self._board = board

    async def GetTrainerStatus(
        self, request: trainer_pb2.GetTrainerStatusRequest, context: Any
    ) -> trainer_pb2.GetTrainerStatusResponse:
        """The newest status."""
        status = self._board.read()
        return trainer_pb2.GetTrainerStatusResponse(
            model=status.model,
            epoch=status.epoch,
            step=status.step,
            consumed=[
                events_pb2.LogPosition(partition=partition, offset=offset)
                for partition, offset in sorted(status.consumed.items())
            ],
            outcomes=trainer_pb2.EventCounts(
                learned=status.learned,
                excluded=status.excluded,
                dead_lettered=status.dead_lettered,
                pending=status.pending,
                duplicates=status.duplicates,
            ),
            last_published_digest=status.digest,
            last_published_version=status.version,
            quality=status.quality,
        )
