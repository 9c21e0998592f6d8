"""Client of the trainer: what it has learned and how it stands."""

from dataclasses import dataclass

import grpc.aio

from martlet.client.channel import OPTIONS, CallPolicy, bearer, call
from martlet.v1 import trainer_pb2, trainer_pb2_grpc


@dataclass(frozen=True, slots=True)
class TrainerStatus:
    """How the trainer stands. Every outcome is in exactly one of learned, excluded, dead_lettered, pending."""

    model: str
    epoch: int
    step: int
    consumed: dict[str, int]
    learned: int
    excluded: int
    dead_lettered: int
    pending: int
    duplicates: int
    last_published_digest: str
    last_published_version: int
    last_checkpoint_step: int
    quality: dict[str, float]
    state_digest: str


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
        return TrainerStatus(
            model=reply.model,
            epoch=reply.epoch,
            step=reply.step,
            consumed={position.partition: position.offset for position in reply.consumed},
            learned=reply.outcomes.learned,
            excluded=reply.outcomes.excluded,
            dead_lettered=reply.outcomes.dead_lettered,
            pending=reply.outcomes.pending,
            duplicates=reply.outcomes.duplicates,
            last_published_digest=reply.last_published_digest,
            last_published_version=reply.last_published_version,
            last_checkpoint_step=reply.last_checkpoint_step,
            quality=dict(reply.quality),
            state_digest=reply.state_digest,
        )

    async def close(self) -> None:
        """Closes the channel."""
        await self._channel.close()
