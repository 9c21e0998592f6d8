"""Client of the trainer: what it has learned and how it stands."""

from martlet.client.bearer import Token, bearer
from martlet.client.channel import OPTIONS, CallPolicy, call
from martlet.client.dialling import dial
from martlet.client.tls import Plaintext, Tls
from martlet.feature_encoding import ItemId
from martlet.v1 import trainer_pb2, trainer_pb2_grpc
from martlet.wire.strategy_runs import StrategyRun, run_of
from martlet.wire.trainer import Erasure, TrainerStatus, erasure_of, trainer_status_of
from martlet.wire.values import id_message

READMIT_SECONDS = 600.0
FORGET_SECONDS = 120.0
START_SECONDS = 30.0


class TrainerClient:
    """The trainer, from an event loop."""

    def __init__(
        self, address: str, token: Token = "", policy: CallPolicy | None = None, tls: Tls | Plaintext | None = None
    ) -> None:
        self._channel = dial(address, OPTIONS, tls, token)
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

    async def readmit(self, model: str, epoch: int, who: str, why: str) -> int:
        """Offers the head with what an alarm took back learned again; the number of that structural version.

        May take as long as learning the range takes. Said once: it is not repeated.

        Raises:
            NotFound: no alarm began this epoch.
            Conflict: it cannot be offered.
        """
        request = trainer_pb2.ReadmitRangeRequest(model=model, epoch=epoch, who=who, why=why)
        reply = await call(
            lambda timeout: self._stub.ReadmitRange(request, timeout=timeout, metadata=self._metadata),
            CallPolicy(timeout=READMIT_SECONDS, tries=1),
        )
        return reply.version

    async def forget(self, model: str, user_id: ItemId, who: str, why: str) -> Erasure:
        """Begins a user's erasure; when this returns, the user's rows are gone. Said again, it erases what came since.

        Raises:
            NotFound: this trainer learns another model.
        """
        request = trainer_pb2.ForgetUserRequest(model=model, user_id=id_message(user_id), who=who, why=why)
        reply = await call(
            lambda timeout: self._stub.ForgetUser(request, timeout=timeout, metadata=self._metadata),
            CallPolicy(timeout=FORGET_SECONDS, tries=1),
        )
        return erasure_of(reply.erasure)

    async def erasures(self, model: str) -> list[Erasure]:
        """The erasures since the trainer began, oldest first."""
        request = trainer_pb2.ListErasuresRequest(model=model)
        reply = await call(
            lambda timeout: self._stub.ListErasures(request, timeout=timeout, metadata=self._metadata), self._policy
        )
        return [erasure_of(one) for one in reply.erasures]

    async def start_run(self, model: str, strategy: str, who: str, why: str) -> StrategyRun:
        """Begins a run of an update strategy; when this returns, the run will not be lost. Said once: not repeated.

        Raises:
            NotFound: this trainer learns another model.
            InvalidInput: no such strategy.
            Conflict: a run is under way, or a user is being forgotten.
        """
        request = trainer_pb2.StartRunRequest(model=model, strategy=strategy, who=who, why=why)
        reply = await call(
            lambda timeout: self._stub.StartRun(request, timeout=timeout, metadata=self._metadata),
            CallPolicy(timeout=START_SECONDS, tries=1),
        )
        return run_of(reply.run)

    async def runs(self, model: str) -> tuple[list[StrategyRun], str]:
        """The runs, oldest first, and the name of the one that learning goes on from ("": none)."""
        request = trainer_pb2.ListRunsRequest(model=model)
        reply = await call(
            lambda timeout: self._stub.ListRuns(request, timeout=timeout, metadata=self._metadata), self._policy
        )
        return [run_of(one) for one in reply.runs], reply.live

    async def close(self) -> None:
        """Closes the channel."""
        await self._channel.close()
