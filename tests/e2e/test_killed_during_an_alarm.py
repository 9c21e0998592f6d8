"""Given an alarm, when a service is killed in the middle of it, then lane, routes and training end in one place.

An operator closes the lane, which takes the same road as an alarm from there on, so that it comes for sure.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

from examples.demo.history import recorded_events
from examples.demo.judgement import Evidence, after_fence
from examples.demo.processes import Services
from martlet.client.channel import CallPolicy
from martlet.client.registry import RegistryClient
from martlet.client.rollout import RolloutClient
from martlet.client.serving import ServingClient
from martlet.client.trainer import TrainerClient
from martlet.errors import MartletError, NotFound
from martlet.eventlog.file_log import FileEventReader
from martlet.replay.datasets import Rating, interleaved, synthetic
from martlet.replay.traffic import MODEL, Traffic
from martlet.rollouts import RolloutView
from martlet.runtime.config import Config
from martlet.versions import VersionState
from registry_svc.catalog_database import open_database
from registry_svc.catalog_sql import SqlCatalog
from registry_svc.journal import DecisionKind
from trainer_svc.audit_app import run_audit
from trainer_svc.journal import Rewound, read_journal

EVENTS, CONCURRENCY = 1600, 8
PATIENT = CallPolicy(timeout=40.0, tries=400, backoff=0.02)


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    settings = {
        "MARTLET_TRAINER_MODEL": "examples.movielens.model:MODEL",
        "MARTLET_TRAINER_PUBLISH_INTERVAL_MS": "300",
        "MARTLET_TRAINER_CHECKPOINT_INTERVAL_SECONDS": "1",
        "MARTLET_TRAINER_INITIAL_BUCKETS": "64",
        "MARTLET_TRAINER_EVIDENCE_INTERVAL_MS": "50",
    }
    services = Services(tmp_path, settings)
    yield services
    services.stop_all()


class World:
    """The loop under traffic that does not end by itself."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.serving = ServingClient(services.running["serving"].address, policy=PATIENT)
        self.registry = RegistryClient(services.running["registry"].address, policy=PATIENT)
        self.rollouts = RolloutClient(services.running["registry"].address, policy=PATIENT)
        dataset = synthetic(EVENTS)
        self.traffic = Traffic(self.serving, dataset, others=2, rate=400.0)
        self.stream: Iterator[Rating] = interleaved(dataset.ratings)

    async def more(self, events: int) -> None:
        """A little more traffic."""
        await self.traffic.run(islice(interleaved(synthetic(events).ratings), events), CONCURRENCY)

    async def settled(self) -> None:
        """The trainer has read everything."""
        trainer = TrainerClient(self.services.running["trainer"].address, policy=PATIENT)
        for _ in range(600):
            status = await trainer.status()
            if status.learned + status.excluded + status.dead_lettered + status.pending >= len(
                self.traffic.answers.label
            ):
                await trainer.close()
                return
            await asyncio.sleep(0.1)
        pytest.fail(f"the trainer never caught up: {status}")

    async def until(self, met: Callable[[RolloutView], bool], what: str) -> RolloutView:
        for _ in range(2000):
            try:
                view = await self.rollouts.show(MODEL, 0)
            except MartletError:
                await asyncio.sleep(0.05)
                continue
            if met(view):
                return view
            await asyncio.sleep(0.02)
        pytest.fail(f"never came: {what}; {view}")

    async def close(self) -> None:
        await asyncio.gather(self.serving.close(), self.registry.close(), self.rollouts.close())


@asynccontextmanager
async def running(services: Services) -> AsyncIterator[World]:
    for name in ("registry", "serving", "trainer"):
        services.start(name)
    world = World(services)
    for _ in range(600):
        if any(status.state is VersionState.READY for status in await world.serving.status()):
            break
        await asyncio.sleep(0.1)
    yield world
    await world.close()


@pytest.mark.parametrize("name", ["trainer", "registry", "serving"])
async def test_killed_in_the_middle_of_an_alarm(services: Services, tmp_path: Path, name: str) -> None:
    async with running(services) as world:
        going = asyncio.create_task(world.traffic.run(islice(world.stream, EVENTS), CONCURRENCY))
        await world.until(lambda view: view.head_version > 2, "a lane")
        await world.rollouts.abort(MODEL, "ada", "a drill")
        services.running[name].kill()
        await asyncio.sleep(0.3)
        await asyncio.to_thread(services.start, name)
        await going
        await world.until(lambda view: not view.rewind, "an acknowledged rewind")
        await world.more(200)  # everything before may have been read, and taken back, by then
        view = await world.until(lambda view: view.head_version > view.pin_version, "a version after the rewind")
        assert (view.frozen, world.traffic.answers.failures) == ("", [])
        await world.settled()
        if name == "trainer":
            await readmitted(world)
        view = await world.rollouts.show(MODEL, 0)
    services.stop_all()
    check_end(tmp_path, view)


async def readmitted(world: World) -> None:
    """What was taken back comes in again: on the structural road, and by promotion into the lane."""
    trainer = TrainerClient(world.services.running["trainer"].address, policy=PATIENT)
    with pytest.raises(NotFound):
        await trainer.readmit(MODEL, 77, "ada", "no such epoch")
    version = await trainer.readmit(MODEL, 1, "ada", "it was a drill")
    view = await world.until(lambda view: view.structural_version == version, "a structural version")
    assert view.structural_phase == "shadow"
    await world.rollouts.promote(MODEL, version, "ada", "it was a drill")
    await world.more(200)
    await world.until(lambda view: view.head_version > version and not view.structural_version, "a head behind it")
    for _ in range(100):  # a status is a quarter of a second old at most
        if (await trainer.status()).excluded == 0:
            break
        await asyncio.sleep(0.1)
    else:
        pytest.fail("what had been taken back is not learned again")
    await trainer.close()


def check_end(root: Path, view: RolloutView) -> None:
    """Everything that is on disk tells one story."""
    config = Config(data_dir=root / "data")
    config = replace(config, trainer=replace(config.trainer, model="examples.movielens.model:MODEL"))
    engine = open_database(config.catalog_url)
    catalog = SqlCatalog(engine)
    decisions = catalog.journal(MODEL)
    records = {one.version: one for one in catalog.versions(MODEL, 0, 10_000, with_manifests=False)}
    engine.dispose()
    entries = [entry for entry, _ in read_journal(FileEventReader(config.checkpoint_dir), 0)]
    rewinds = [entry for entry in entries if isinstance(entry, Rewound)]
    predictions, outcomes, offsets = recorded_events(FileEventReader(config.event_log_dir))
    evidence = Evidence(records, {}, predictions, outcomes, offsets, decisions, rewinds)
    assert after_fence(evidence) == 0, "a version that was taken back answered after the fence"
    closed = [one.lane for one in decisions if one.kind is DecisionKind.ABORTED]
    done = {(one.epoch, one.digest) for one in rewinds}
    told = {one.lane.epoch for one in decisions if one.kind is DecisionKind.REWOUND}
    assert [(lane.epoch, lane.pin.digest) in done and lane.epoch in told for lane in closed] == [True]
    assert view.epoch >= 1
    report = run_audit(config, 500)
    assert report.digests_equal
    assert report.versions_checked > 0
    assert report.parity_max_abs_diff <= 1e-6
    figures = report.events
    assert (figures.excluded > 0) is (view.epoch == 1)
    told = len({one.event_id for one in outcomes})
    assert figures.learned + figures.excluded + figures.dead_lettered + figures.pending == told
