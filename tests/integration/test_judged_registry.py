"""The registry with evidence, over real gRPC: ramp, certificate, alarm, rewind, structural road, restart."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from martlet.client.channel import CallPolicy
from martlet.client.rollout import RolloutClient
from martlet.errors import Conflict, InvalidInput, NotFound
from martlet.events import Arm
from martlet.evidence import EvidenceBatch, EvidenceRow
from martlet.manifest import encode_manifest
from martlet.rollouts import RolloutView
from martlet.versions import CatalogState, ServableStatus, VersionState
from registry_svc.catalog_database import open_database
from registry_svc.catalog_judge import SqlJudgeLog
from registry_svc.catalog_sql import SqlCatalog
from registry_svc.journal import replay
from registry_svc.model_judge import ModelJudge
from registry_svc.policy import EvidencePolicy
from registry_svc.policy_file import load_policies
from tests.integration.registry_stage import Stage, stage_in

PRODUCER = "judge/shop-1"


class World:
    """A registry with evidence, and a stream of labels whose truth the versions know more or less well."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.rollouts = RolloutClient(stage.address, policy=CallPolicy(timeout=10, tries=1))
        self.sequence = 0
        self.rng = np.random.default_rng(7)

    async def begin(self) -> None:
        """The first version, and the labels that a young model is not judged by."""
        await self.stage.publish(self.stage.trainer.newest)
        await self.judge(EvidencePolicy().burn_in_labels, 0, 0, {1: 0.0})

    async def show(self) -> RolloutView:
        return await self.rollouts.show("shop", decisions=50)

    async def publish_delta(self) -> int:
        return (await self.stage.publish(self.stage.trainer.delta(float(self.rng.normal())))).version

    async def ready(self, *versions: int) -> None:
        """A replica has these versions READY."""
        known = {record.version: record for record in await self.stage.client.versions("shop")}
        statuses = [ServableStatus("shop", v, known[v].digest, VersionState.READY) for v in versions]
        await self.stage.client.report_replica("r1", statuses)

    def batch(self, labels: int, epoch: int, head: int, errors: dict[int, float]) -> EvidenceBatch:
        """`errors`: by how many nats each version's logit is off on average, up or down."""
        self.sequence += 1
        truth = self.rng.normal(0.0, 1.0, labels)
        happened = self.rng.random(labels) < 1.0 / (1.0 + np.exp(-truth))
        rows = tuple(
            EvidenceRow(
                user=int(self.rng.integers(0, 40)),
                time_us=1_000_000 * self.sequence + n,
                epoch=epoch,
                arm=Arm.LIVE if n % 2 else Arm.PIN,
                weight=5000,
                version=head,
                head=head,
                label=float(happened[n]),
                logits={v: float(truth[n] + off * self.rng.choice((-1, 1))) for v, off in errors.items()},
            )
            for n in range(labels)
        )
        return EvidenceBatch(PRODUCER, self.sequence, "shop", rows, 0.0, 1_000_000 * self.sequence)

    async def judge(self, labels: int, epoch: int, head: int, errors: dict[int, float]) -> None:
        while labels > 0:
            await self.stage.client.report_evidence(self.batch(min(labels, 250), epoch, head, errors))
            labels -= 250

    async def until(self, met: Callable[[RolloutView], bool]) -> RolloutView:
        for _ in range(100):
            view = await self.show()
            if met(view):
                return view
            await asyncio.sleep(0.05)
        raise AssertionError(f"never came: {await self.show()}")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with stage_in(tmp_path, quality="evidence") as stage:
        found = World(stage)
        await found.begin()
        yield found
        await found.rollouts.close()


async def test_a_good_head_earns_its_share_and_its_pin(world: World) -> None:
    await world.publish_delta()
    await world.ready(1, 2)
    assert (await world.show()).weight == 0
    await world.judge(3000, 0, 2, {1: 0.6, 2: 0.0})
    view = await world.until(lambda view: view.pin_version == 2)
    assert [decision.kind for decision in view.decisions if decision.kind == "share"]
    assert view.decisions[0].epoch == 0


async def test_without_labels_nothing_moves(world: World) -> None:
    await world.publish_delta()
    await world.ready(1, 2)
    await asyncio.sleep(0.6)  # two rounds of tending
    shown = await world.show()
    assert (shown.weight, shown.pin_version, [one.kind for one in shown.decisions]) == (0, 1, ["head", "head"])
    assert len(shown.awaited) > 0


async def test_a_bad_head_is_taken_back_and_training_must_go_back(world: World) -> None:
    client, trainer = world.stage.client, world.stage.trainer
    first = trainer.newest
    await world.publish_delta()
    middle = await world.publish_delta()
    bad = await world.publish_delta()
    await world.judge(4000, 0, bad, {1: 0.0, bad: 1.0})
    view = await world.show()
    assert (view.epoch, view.head_version, view.pin_version, view.rewind, view.alarms) == (1, 1, 1, True, 1)
    records = {record.version: record for record in await client.versions("shop")}
    assert (records[bad].state, records[middle].state) == (CatalogState.ROLLED_BACK, CatalogState.QUARANTINED)
    lineage = await client.lineage("shop")
    assert (lineage.rewind, lineage.head_version, lineage.epoch) == (True, 1, 1)

    with pytest.raises(Conflict):  # a child of what was taken back
        await world.stage.publish(trainer.delta(3.0))
    trainer.newest = first
    again = trainer.delta(4.0)
    again = replace(again, lineage=replace(again.lineage, epoch=1))
    with pytest.raises(Conflict, match="go back"):
        await client.publish(encode_manifest(again))
    with pytest.raises(Conflict):
        await client.acknowledge_rewind("shop", 1, records[bad].digest)
    await client.acknowledge_rewind("shop", 1, records[1].digest)
    await client.acknowledge_rewind("shop", 1, records[1].digest)
    assert (await world.stage.publish(again)).state is CatalogState.ADMITTED
    assert (await world.show()).weight == 0


async def test_evidence_in_flight_from_before_the_alarm_does_not_close_the_next_lane(world: World) -> None:
    bad = await world.publish_delta()
    await world.judge(4000, 0, bad, {1: 0.0, bad: 1.0})
    await world.judge(4000, 0, bad, {1: 0.0, bad: 1.0})
    view = await world.show()
    assert (view.epoch, view.alarms) == (1, 1)


async def test_a_repeated_batch_is_judged_once(world: World) -> None:
    await world.publish_delta()
    batch = world.batch(200, 0, 2, {1: 0.0, 2: 0.1})
    for _ in range(3):
        await world.stage.client.report_evidence(batch)
    view = await world.show()
    assert next(path.labels for path in view.paths if path.name == "head-pin") == 200


@pytest.mark.parametrize(
    ("batch", "error"),
    [
        (EvidenceBatch("", 1, "shop", ()), InvalidInput),
        (EvidenceBatch("p", 1, "", ()), InvalidInput),
        (EvidenceBatch("p", 1, "other", ()), NotFound),
        (EvidenceBatch("p", 1 << 63, "shop", ()), InvalidInput),
        (EvidenceBatch("p", 1, "shop", (), float("nan")), InvalidInput),
        (EvidenceBatch("p", 1, "shop", (EvidenceRow(1, 1, 0, Arm.PIN, 0, 1, 0, 7.0, {1: 0.0}),)), InvalidInput),
    ],
)
async def test_bad_evidence_is_told_and_does_no_harm(
    world: World, batch: EvidenceBatch, error: type[Exception]
) -> None:
    with pytest.raises(error):
        await world.stage.client.report_evidence(batch)
    await world.judge(200, 0, 2, {1: 0.0})


async def test_a_score_that_is_no_number_closes_the_lane_at_once(world: World) -> None:
    head = await world.publish_delta()
    (row, *rest) = world.batch(5, 0, head, {1: 0.0, head: 0.0}).rows
    broken = dataclasses.replace(row, logits={1: 0.0, head: float("nan")})
    await world.stage.client.report_evidence(EvidenceBatch(PRODUCER, 99, "shop", (broken, *rest)))
    view = await world.show()
    assert (view.epoch, view.head_version, view.decisions[0].kind) == (1, 1, "alarm")


async def test_a_young_head_that_answers_nobody_may_move_far(world: World) -> None:
    far = replace(world.stage.trainer.delta(1.0), metrics={"mean_abs_logit_shift": 5.0})
    assert (await world.stage.publish(far)).state is CatalogState.ADMITTED
    await world.ready(1, 2)
    await world.judge(600, 0, 2, {1: 0.6, 2: 0.0})
    await world.until(lambda view: view.weight > 0)
    again = replace(world.stage.trainer.delta(2.0), metrics={"mean_abs_logit_shift": 5.0})
    assert (await world.stage.publish(again)).state is CatalogState.REJECTED


async def test_a_head_that_cannot_answer_closes_the_lane(world: World) -> None:
    head = await world.publish_delta()
    digest = (await world.stage.client.version("shop", head)).digest
    failing = ServableStatus("shop", head, digest, VersionState.READY, requests=100, errors=20)
    await world.stage.client.report_replica("r1", [failing])
    view = await world.until(lambda view: view.epoch == 1)
    assert (view.head_version, view.rewind) == (1, True)


async def test_a_miscalibrated_structural_version_is_caught_in_shadow(world: World) -> None:
    stage = world.stage
    foreign = stage.trainer.snapshot((await stage.client.lineage("shop")).head_digest, 0)
    foreign = replace(foreign, lineage=replace(foreign.lineage, lineage="retrained-1", sequence=1))
    record = await stage.client.publish(encode_manifest(foreign))
    view = await world.show()
    assert (view.structural_version, view.structural_phase, view.head_version) == (record.version, "shadow", 1)
    await world.judge(8000, 0, 0, {1: 0.0, record.version: 1.0})
    await world.until(lambda view: view.structural_version == 0)
    found = await stage.client.version("shop", record.version)
    assert (found.state, "in shadow" in found.reason) == (CatalogState.ROLLED_BACK, True)


async def test_an_operators_word_stands_in_the_journal(world: World) -> None:
    await world.publish_delta()
    await world.rollouts.promote("shop", 2, "ada", "I know better")
    with pytest.raises(Conflict):
        await world.rollouts.promote("shop", 2, "ada", "again")
    await world.rollouts.pin("shop", 1, "ada", "I did not")
    view = await world.show()
    assert (view.pin_version, view.head_version, view.epoch, view.rewind) == (1, 1, 1, True)
    assert ["by ada" in decision.detail for decision in view.decisions[:2]] == [True, True]
    with pytest.raises(InvalidInput, match="why"):
        await world.rollouts.abort("shop", "ada", " ")
    with pytest.raises(NotFound):
        await world.rollouts.show("other")


async def test_a_restarted_registry_judges_on(tmp_path: Path) -> None:
    """Half of the evidence before a restart, half after: the alarm comes as if there had been none."""
    views = []
    for restarts in (0, 3):
        root = tmp_path / str(restarts)
        world, batches = None, 16
        for life in range(restarts + 1):
            async with stage_in(root, quality="evidence") as stage:
                if world is None:
                    world = World(stage)
                    await world.begin()
                    await world.publish_delta()
                world.stage, world.rollouts = stage, RolloutClient(stage.address)
                for _ in range(batches // (restarts + 1)):
                    await stage.client.report_evidence(world.batch(250, 0, 2, {1: 0.0, 2: 0.7}))
                views.append(await world.show()) if life == restarts else None
                await world.rollouts.close()
    first, second = (dataclasses.replace(view, decisions=()) for view in views)
    assert first == second
    assert first.alarms == 1


async def test_judgement_and_decisions_replay_from_what_is_kept(tmp_path: Path) -> None:
    async with stage_in(tmp_path, quality="evidence") as stage:
        world = World(stage)
        await world.begin()
        await world.publish_delta()
        await world.ready(1, 2)
        await world.judge(3000, 0, 2, {1: 0.6, 2: 0.0})
        await world.until(lambda view: view.pin_version == 2)
        bad = await world.publish_delta()
        await world.judge(4000, 0, bad, {1: 0.6, 2: 0.0, bad: 1.2})
        assert (await world.show()).alarms == 1
        await world.rollouts.close()
        settings, url = stage.config.registry, stage.config.catalog_url
    engine = open_database(url)
    catalog, log = SqlCatalog(engine), SqlJudgeLog(engine)
    decisions = catalog.journal("shop")
    judge = ModelJudge(load_policies(settings).of("shop"))
    for judged in log.read("shop", 0, 1000):
        lane = replay("shop", decisions[: judged.decisions]).lane
        judge.fold(judged.batch, lane)
    stored = log.load("shop")
    replayed = judge.record()
    assert (replayed.batches, replayed.lane, replayed.trial) == (stored.batches, stored.lane, stored.trial)
    assert replay("shop", decisions).lane == catalog.standing("shop").lane
    engine.dispose()
