"""The edge of rollouts: messages in, use cases, messages out."""

from typing import Any

from martlet.runtime.caller import caller
from martlet.v1 import registry_pb2 as pb
from martlet.v1 import registry_pb2_grpc
from martlet.wire.evidence import rollout_message
from registry_svc.operator_desk import Word
from registry_svc.rollouts import Rollouts


class RolloutServicer(registry_pb2_grpc.RolloutServiceServicer):
    """Errors become statuses in the server's interceptor."""

    def __init__(self, rollouts: Rollouts) -> None:
        self._rollouts = rollouts

    async def ShowRollout(self, request: pb.ShowRolloutRequest, context: Any) -> pb.ShowRolloutResponse:
        """Where a model's rollouts stand."""
        return rollout_message(await self._rollouts.show(request.model, request.decisions))

    async def PromoteVersion(self, request: pb.PromoteVersionRequest, context: Any) -> pb.PromoteVersionResponse:
        """Makes a version the pin."""
        await self._rollouts.promote(request.model, request.version, Word(request.who, request.why, caller()))
        return pb.PromoteVersionResponse()

    async def AbortRollout(self, request: pb.AbortRolloutRequest, context: Any) -> pb.AbortRolloutResponse:
        """Ends what is under way."""
        await self._rollouts.abort(request.model, Word(request.who, request.why, caller()))
        return pb.AbortRolloutResponse()

    async def PinVersion(self, request: pb.PinVersionRequest, context: Any) -> pb.PinVersionResponse:
        """Goes back to an older version."""
        await self._rollouts.pin(request.model, request.version, Word(request.who, request.why, caller()))
        return pb.PinVersionResponse()

    async def ThawRollout(self, request: pb.ThawRolloutRequest, context: Any) -> pb.ThawRolloutResponse:
        """Lets a frozen model be published again."""
        await self._rollouts.thaw(request.model, Word(request.who, request.why, caller()))
        return pb.ThawRolloutResponse()
