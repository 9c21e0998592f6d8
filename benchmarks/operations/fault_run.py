"""One run: the loop comes up, load and faults go on side by side, and then everything must find its place by itself."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from benchmarks.operations.fault_account import Account, account, read_log
from benchmarks.operations.fault_effects import Done, Faults, thaw
from benchmarks.operations.fault_laws import all_equal
from benchmarks.operations.fault_ledger import Ledger
from benchmarks.operations.fault_load import Load
from benchmarks.operations.fault_schedule import Fault
from benchmarks.operations.fault_stage import LONGEST_START_S, REPLICAS, Stage
from benchmarks.training.crash_model import MODEL
from martlet.client.channel import CallPolicy
from martlet.client.rollout import RolloutClient
from martlet.client.serving import ServingClient
from martlet.client.trainer import TrainerClient
from martlet.errors import MartletError
from martlet.events import Outcome
from martlet.runtime.config import load_config
from martlet.versions import VersionState

KEEP_S: Final = 0.2
WEIGH_S: Final = 4.0
LOOK_S: Final = 0.5
QUIET_S: Final = 3.0  # three times as long as the trainer waits before it publishes
ONCE: Final = CallPolicy(timeout=3.0, tries=3)


@dataclass(slots=True)
class Run:
    """What came of it.

    Attributes:
        converged_s: from the end of the last fault until everything stood in its place; NaN: it never did.
        waiting: what was missing when it was looked at last.
        positions: replica → the (epoch, revision) that it answered from in the end.
        exits: exit code of each service when it was told to end.
    """

    faults: tuple[Fault, ...]
    seconds: float = 0.0
    ledger: Ledger = field(default_factory=Ledger)
    done: Done = field(default_factory=Done)
    converged_s: float = float("nan")
    waiting: str = ""
    positions: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    exits: Mapping[str, int] = field(default_factory=dict)
    account: Account | None = None


class Course:
    """Drives a stage through one run. Lives on one event loop.

    Args:
        rate: requests a second.
        patience_s: how long it may take to converge.
    """

    def __init__(self, stage: Stage, faults: tuple[Fault, ...], rate: float, seed: int, patience_s: float) -> None:
        self._stage = stage
        self._rate = rate
        self._patience_s = patience_s
        self._zero = time.monotonic()
        self._faults = Faults(stage, self.now)
        self._load = Load(stage.target, seed, self.now)
        self.run = Run(faults)

    def now(self) -> float:
        """Seconds of the run; they begin when the load does."""
        return time.monotonic() - self._zero

    async def go(self) -> Run:
        """All of it."""
        run, stage = self.run, self._stage
        await stage.begin()
        async with self._kept():
            await self._up()
            await self._load.offer_items()
            await self._load.run(self._rate, _after(3.0))
            self._zero = time.monotonic()
            over = asyncio.create_task(self._faults.carry_out(run.faults))
            load = asyncio.create_task(self._load.run(self._rate, over.done))
            await over
            ended = self.now()
            await self._load_on(load)
            run.seconds, run.ledger, run.done = ended, self._load.ledger, self._faults.done
            await self._converge(ended)
            run.exits = await stage.end()
        await self._load.close()
        run.account = await asyncio.to_thread(account, stage.settings)
        return run

    async def _load_on(self, load: "asyncio.Task[None]") -> None:
        """A little longer, so that what recovers is seen to answer."""
        await load
        await self._load.run(self._rate, _after(4.0))

    @asynccontextmanager
    async def _kept(self) -> AsyncIterator[None]:
        """Restarts what ends, and weighs what lives."""

        async def keep() -> None:
            weighed = 0.0
            while True:
                for service in self._stage.services.values():
                    service.keep(self.now())
                    if time.monotonic() > weighed + WEIGH_S:
                        service.weigh(self.now())
                if time.monotonic() > weighed + WEIGH_S:
                    weighed = time.monotonic()
                await asyncio.sleep(KEEP_S)

        keeping = asyncio.create_task(keep())
        try:
            yield
        finally:
            keeping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await keeping

    async def _up(self) -> None:
        """Both replicas can answer."""
        end = time.monotonic() + LONGEST_START_S
        for name in REPLICAS:
            client = ServingClient(self._stage.services[name].address, policy=ONCE)
            while not await _ready(client):
                if time.monotonic() > end:
                    tails = [f"{one.name}:\n{one.log_tail(8)}" for one in self._stage.services.values()]
                    raise RuntimeError("the loop did not come up\n" + "\n".join(tails))
                await asyncio.sleep(0.2)
            await client.close()

    async def _converge(self, ended: float) -> None:
        until = time.monotonic() + self._patience_s
        eye = Eye(self._stage, len(self.run.ledger.acknowledged))
        while time.monotonic() < until:
            try:
                self.run.waiting = await eye.missing()
                if not self.run.waiting:
                    at = self.now()
                    self.run.positions = await eye.positions()
                    if all_equal(list(self.run.positions.values())):
                        self.run.converged_s = at - ended
                        break
                    self.run.waiting = f"replicas stand at {self.run.positions}"
            except MartletError as error:
                self.run.waiting = f"{type(error).__name__}: {error}"
            await asyncio.sleep(LOOK_S)
        await eye.close()


class Eye:
    """Looks whether everything stands in its place, past every fault. `told`: events that were acknowledged."""

    def __init__(self, stage: Stage, told: int) -> None:
        self._config = load_config(None, stage.settings)
        self._told = told
        self._standing: tuple[tuple[int, ...], float] = ((), 0.0)
        self._rollouts = RolloutClient(stage.registries, policy=ONCE)
        self._trainer = TrainerClient(stage.services["trainer"].address, policy=ONCE)
        self._replicas = {name: ServingClient(stage.services[name].address, policy=ONCE) for name in REPLICAS}

    async def missing(self) -> str:
        """What is not in its place yet, or "".

        Raises:
            MartletError: a service does not answer.
        """
        view = await self._rollouts.show(MODEL.name, 0)
        if view.rewind or view.frozen:
            await thaw(self._rollouts)
            return f"rewind {view.rewind}, frozen {view.frozen!r}"
        status = await self._trainer.status()
        counted = status.learned + status.excluded + status.dead_lettered + status.pending
        if counted < self._told:
            return f"the trainer knows of {counted} events, {self._told} were acknowledged"
        standing = (counted, status.learned, view.head_version, view.revision)
        if view.head_version != status.last_published_version:
            return f"the head is {view.head_version}, the trainer published {status.last_published_version} last"
        if not self._stays(standing):
            return f"still moving: {standing}"
        for name, client in self._replicas.items():
            held = {one.version for one in await client.status() if one.state is VersionState.READY}
            if not {view.head_version, view.pin_version} <= held:
                return f"{name} holds {sorted(held)}; head {view.head_version}, pin {view.pin_version}"
        return ""

    def _stays(self, standing: tuple[int, ...]) -> bool:
        """Whether nothing has moved for so long that nothing more would be published."""
        if standing != self._standing[0]:
            self._standing = (standing, time.monotonic())
        return time.monotonic() > self._standing[1] + QUIET_S

    async def positions(self) -> dict[str, tuple[int, int]]:
        """Asks each replica, and reads from the log where it stood."""
        for name, client in self._replicas.items():
            answer = await client.rank(MODEL.name, 1, [1, 2])
            await client.record_outcomes([Outcome(f"probe-{name}", answer.prediction_id, 1, "view", 1.0, 0)])
        logged = await asyncio.to_thread(read_log, self._config)
        return {name: (logged.last[name].epoch, logged.last[name].revision) for name in REPLICAS}

    async def close(self) -> None:
        """Closes the connections."""
        await asyncio.gather(
            self._rollouts.close(), self._trainer.close(),
            *(client.close() for client in self._replicas.values()),
        )  # fmt: skip


async def _ready(client: ServingClient) -> bool:
    try:
        return any(one.state is VersionState.READY for one in await client.status())
    except MartletError:
        return False


def _after(seconds: float) -> "_Passed":
    return _Passed(time.monotonic() + seconds)


@dataclass(frozen=True, slots=True)
class _Passed:
    at: float

    def __call__(self) -> bool:
        return time.monotonic() >= self.at
