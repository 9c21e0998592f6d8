"""Client of the trainer: what it has learned and how it stands."""

import grpc.aio

from martlet.client.channel import OPTIONS, CallPolicy, bearer, call
from martlet.v1 import trainer_pb2, trainer_pb2_grpc
from martlet.wire.trainer import TrainerStatus, trainer_status_of


class TrainerClient:
    """The trainer, from an event loop."""

    def __init__(self, address: str, token: str = "", policy: CallPolicy | None = None) -> None:
        self._channel = grpc.aio.insecure_channel(address, options=OPTIONS)
        self._stub = trainer_pb2_grpc.TrainerServiceStub(self._channel)
        self._metadata = bearer(token)
        self._policy = policy or CallPolicy()

    async def status(self) -> TrainerStatus:
        """How the trainer stands."""
        request = trainer_pb2.GetTrainerStatusRequest()
        reply = await call(
            lambda timeout: self._stub.GetTrainerStatus(request, timeout=timeout, metadata=self._metadata),
            self._policy,
        )
        return trainer_status_of(reply)

    async def close(self) -> None:
        """Closes the channel."""
        await self._channel.close()
