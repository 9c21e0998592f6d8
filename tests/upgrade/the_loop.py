"""The three services on one folder, asked and watched by a test."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from itertools import islice
from typing import Any

from examples.demo.processes import Services
from martlet.client.channel import CallPolicy
from martlet.client.registry import RegistryClient
from martlet.client.serving import ServingClient
from martlet.client.trainer import TrainerClient
from martlet.errors import MartletError
from martlet.eventlog.erasure import is_erased
from martlet.eventlog.port import EventReader
from martlet.events import Outcome, Prediction
from martlet.replay.datasets import interleaved, synthetic
from martlet.replay.traffic import MODEL, Traffic
from martlet.versions import VersionState
from martlet.wire.events import decode_event
from martlet.wire.trainer import TrainerStatus

NAMES = ("registry", "serving", "trainer")
CONCURRENCY = 8
SETTINGS = {
    "MARTLET_TRAINER_MODEL": "examples.movielens.model:MODEL",
    "MARTLET_TRAINER_PUBLISH_INTERVAL_MS": "300",
    "MARTLET_TRAINER_CHECKPOINT_INTERVAL_SECONDS": "0.5",
    "MARTLET_TRAINER_INITIAL_BUCKETS": "64",
    "MARTLET_TRAINER_EVIDENCE_INTERVAL_MS": "50",
}
PATIENT = CallPolicy(timeout=40.0, tries=400, backoff=0.02)


@dataclass
class Loop:
    """Services, and clients of them. Made on the test's event loop."""

    services: Services
    traffic: Traffic
    serving: ServingClient
    registry: RegistryClient
    trainer: TrainerClient
    model: str = MODEL

    @classmethod
    async def of(cls, services: Services, events: int, model: str = MODEL) -> "Loop":
        """Starts what does not run, and waits until something is served."""
        for name in NAMES:
            if name not in services.running or services.running[name].process.poll() is not None:
                await asyncio.to_thread(services.start, name)
        where = services.running
        serving = ServingClient(where["serving"].address, policy=PATIENT)
        loop = cls(
            services,
            Traffic(serving, synthetic(events), others=2, rate=400.0),
            serving,
            RegistryClient(where["registry"].address, policy=PATIENT),
            TrainerClient(where["trainer"].address, policy=PATIENT),
            model,
        )
        await until("a version that serves", loop.is_ready)
        return loop

    async def is_ready(self) -> bool:
        return any(status.state is VersionState.READY for status in await self.serving.status())

    async def send(self, events: int) -> None:
        """So many requests, each with an outcome; none may fail."""
        await self.traffic.run(islice(interleaved(synthetic(events).ratings), events), CONCURRENCY)
        assert self.traffic.answers.failures == []

    async def settled(self, told: int) -> TrainerStatus:
        """Once every one of `told` outcomes is in one of the four places."""

        async def accounted_for() -> bool:
            return accounted(await self.trainer.status()) >= told

        await until("all outcomes are accounted for", accounted_for)
        return await self.trainer.status()

    async def head(self) -> int:
        return (await self.registry.lineage(self.model)).head_version

    async def head_above(self, version: int) -> None:
        async def above() -> bool:
            return await self.head() > version

        await until(f"a version above {version}", above)

    async def close(self) -> None:
        await asyncio.gather(self.serving.close(), self.registry.close(), self.trainer.close())


def accounted(status: TrainerStatus) -> int:
    """Outcomes in one of the four places."""
    return status.learned + status.excluded + status.dead_lettered + status.pending


async def until(what: str, met: Callable[[], Coroutine[Any, Any, bool]], seconds: float = 60.0) -> None:
    for _ in range(int(seconds / 0.05)):
        try:
            if await met():
                return
        except MartletError:
            pass
        await asyncio.sleep(0.05)
    raise AssertionError(f"never came: {what}")


def kill_all(services: Services) -> None:
    """As a machine that is lost."""
    for name in NAMES:
        services.running[name].kill()


def events_of(reader: EventReader) -> list[Prediction | Outcome]:
    """Predictions and outcomes of a log, in its order, repetitions too."""
    found: list[Prediction | Outcome] = []
    for partition in reader.partitions():
        start = 0
        while records := reader.read(partition, start, 1 << 20):
            start = records[-1].end
            events = (decode_event(record.payload) for record in records if not is_erased(record.payload))
            found += [event for event in events if isinstance(event, Prediction | Outcome)]
    return found


def outcome_ids(reader: EventReader) -> list[str]:
    """The ids of the outcomes in a log, in its order, repetitions too."""
    return [event.event_id for event in events_of(reader) if isinstance(event, Outcome)]


class CommandFailed(Exception):
    """With what it said."""


def martlet(*arguments: str) -> dict[str, Any]:
    """What a command says with --json.

    Raises:
        CommandFailed: it failed.
    """
    command = [sys.executable, "-m", "martlet.cli", *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**SETTINGS, **os.environ})
    if done.returncode:
        raise CommandFailed(done.stderr)
    shown: dict[str, Any] = json.loads(done.stdout)
    return shown
