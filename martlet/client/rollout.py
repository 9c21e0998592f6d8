"""A client of the registry's rollouts: what is decided about a model's versions, and an operator's word on it."""

from martlet.client.bearer import Token, bearer
from martlet.client.channel import BALANCED, CallPolicy, call
from martlet.client.dialling import dial
from martlet.client.tls import Plaintext, Tls
from martlet.rollouts import RolloutView
from martlet.v1 import registry_pb2 as pb
from martlet.v1 import registry_pb2_grpc
from martlet.wire.evidence import rollout_of


class RolloutClient:
    """Rollouts, from an event loop. An operator's call says who and why; both stand in the journal."""

    def __init__(
        self, address: str, token: Token = "", policy: CallPolicy | None = None, tls: Tls | Plaintext | None = None
    ) -> None:
        self._channel = dial(address, BALANCED, tls, token)
        self._stub = registry_pb2_grpc.RolloutServiceStub(self._channel)
        self._metadata = bearer(token)
        self._policy = policy or CallPolicy()

    async def show(self, model: str, decisions: int = 10) -> RolloutView:
        """Where a model's rollouts stand.

        Raises:
            NotFound: no such model.
        """
        request = pb.ShowRolloutRequest(model=model, decisions=decisions)
        reply = await call(
            lambda timeout: self._stub.ShowRollout(request, timeout=timeout, metadata=self._metadata), self._policy
        )
        return rollout_of(reply)

    async def promote(self, model: str, version: int, who: str, why: str) -> None:
        """Makes the candidate, or the structural version under way, the pin.

        Raises:
            Conflict: the version is neither.
        """
        request = pb.PromoteVersionRequest(model=model, version=version, who=who, why=why)
        await call(
            lambda timeout: self._stub.PromoteVersion(request, timeout=timeout, metadata=self._metadata), self._policy
        )

    async def abort(self, model: str, who: str, why: str) -> None:
        """Ends the structural version under way; without one, closes the live lane as an alarm would.

        Raises:
            Conflict: there is nothing to end.
        """
        request = pb.AbortRolloutRequest(model=model, who=who, why=why)
        await call(
            lambda timeout: self._stub.AbortRollout(request, timeout=timeout, metadata=self._metadata), self._policy
        )

    async def pin(self, model: str, version: int, who: str, why: str) -> None:
        """Routes everything to a version that was the pin before; training goes back there.

        Raises:
            Conflict: the version was never the pin, or has been taken back.
        """
        request = pb.PinVersionRequest(model=model, version=version, who=who, why=why)
        await call(
            lambda timeout: self._stub.PinVersion(request, timeout=timeout, metadata=self._metadata), self._policy
        )

    async def thaw(self, model: str, who: str, why: str) -> None:
        """Lets a frozen model be published again.

        Raises:
            Conflict: it is not frozen.
        """
        request = pb.ThawRolloutRequest(model=model, who=who, why=why)
        await call(
            lambda timeout: self._stub.ThawRollout(request, timeout=timeout, metadata=self._metadata), self._policy
        )

    async def close(self) -> None:
        """Closes the channel."""
        await self._channel.close()
