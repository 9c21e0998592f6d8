"""The real processes: a live learner, a full retraining beside it, the structural road, and learning going on from it.

Serving is played: the shop writes the records that replicas would, with the scores of the versions that are aspired.
"""

import asyncio
import itertools
import random
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from martlet.client.rollout import RolloutClient
from martlet.client.trainer import TrainerClient
from martlet.errors import Conflict
from martlet.eventlog.file_log import FileEventWriter
from martlet.events import Arm
from martlet.feature_encoding import RankInput, encode
from martlet.feature_spec import FeatureSpec
from martlet.manifest import Manifest, VersionKind, decode_manifest, spec_digest
from martlet.rollouts import RolloutView
from martlet.versions import CatalogState
from martlet.wire.events import encode_event
from martlet.wire.strategy_runs import RunState, StrategyRun
from tests.integration.changed_rating_model import MODEL as changed_model  # noqa: N811  a value, beside the other
from tests.integration.rating_model import MODEL
from tests.integration.test_trainer_process import FAST, audit, service, status_of, versions_of, wait_for
from tests.unit.trainer.streams import outcome, prediction

SETTINGS = {**FAST, "trainer_initial_buckets": 512}  # so that no table grows, which would need a new base
POLICY = """
default:
  structural:
    shadow_labels: 60
    steps: [1000]
    labels_per_step: 40
    judge: {prefix_labels: 20, min_labels: 60, session_labels: 1, calibration_tolerance: 5.0}
  live: {burn_in_labels: 0}
"""


class Shop:
    """Plays serving and the users. A structural version's scores are good ones, the pin's say nothing."""

    def __init__(self, data: Path) -> None:
        self._writer = FileEventWriter(data / "events", "serving-0")
        self._numbers = itertools.count(1)
        self._dice = random.Random(5)
        self.told = 0
        self.times: list[int] = []

    def visit(self, count: int, view: RolloutView | None = None, spec: FeatureSpec = MODEL.spec) -> int:
        """So many answers with a rating each; gives the position behind them."""
        position = 0
        for number in itertools.islice(self._numbers, count):
            now, liked = time.time_ns() // 1000, self._dice.random() < 0.5
            told = outcome(f"e-{number}", number, number % 30, 5.0 if liked else 1.0, now + 1000)
            self._writer.offer(encode_event(self._answer(number, now, view, spec, liked=liked)))
            for _ in range(1 + (number % 10 == 0)):
                position = self._writer.append(encode_event(told)).result(5).offset
            self.told += 1
            self.times.append(now)
        return position

    def _answer(self, number: int, now: int, view: RolloutView | None, spec: FeatureSpec, *, liked: bool) -> Any:
        item, user = number % 30, number % 997
        asked = RankInput(user, {}, [item], [{"item.price": 2.0, "item.depth": 0.5}])
        made = prediction(number, now, items=[item], user=user, spec=spec_digest(spec))
        made = replace(made, features=encode(spec, asked))
        if view is None:
            return made
        pin, trial = view.pin_version, view.structural_version
        logits = {pin: 0.0} | ({trial: 1.5 if liked else -1.5} if trial else {})
        scores = {version: np.array([logit], np.float32) for version, logit in logits.items()}
        return replace(made, epoch=view.epoch, version=pin, head=view.head_version, arm=Arm.PIN, scores=scores)

    def close(self) -> None:
        self._writer.close()


def told_by(address: str, ask: Callable[[Any], Any], kind: type = TrainerClient) -> Any:
    async def told() -> Any:
        client = kind(address)
        try:
            return await ask(client)
        finally:
            await client.close()

    return asyncio.run(told())


def runs_of(trainer: str) -> tuple[list[StrategyRun], str]:
    found: tuple[list[StrategyRun], str] = told_by(trainer, lambda client: client.runs("shop"))
    return found


def rollout_of(registry: str) -> RolloutView:
    view: RolloutView = told_by(registry, lambda client: client.show("shop"), RolloutClient)
    return view


def manifests_of(registry: str) -> list[Manifest]:
    return [decode_manifest(record.manifest) for record in versions_of(registry)]


def started(trainer: str, strategy: str) -> StrategyRun:
    run: StrategyRun = told_by(trainer, lambda client: client.start_run("shop", strategy, "test", "because"))
    return run


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path)
    yield made
    made.close()


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "rollout.yaml"
    path.write_text(POLICY)
    return path


def until_promoted(shop: Shop, registry: str, version: int) -> None:
    """Users go on, and the judge sees what the structural version says of them, until it is the pin."""
    end = time.monotonic() + 60
    while (view := rollout_of(registry)).pin_version != version:
        shop.visit(20, view)
        assert time.monotonic() < end, f"version {version} was not promoted: {view}"


def test_learning_goes_on_from_a_retrained_version(tmp_path: Path, shop: Shop, policy: Path) -> None:
    with (
        service("registry", tmp_path, registry_rollout=policy) as (_, registry),
        service("trainer", tmp_path, trainer_registry=registry, **SETTINGS) as (_, trainer),
    ):
        shop.visit(200)
        wait_for("something is published", lambda: status_of(trainer).last_published_version > 1)
        before = status_of(trainer)
        run = started(trainer, "full_retrain")
        assert run.state in (RunState.ASKED, RunState.LEARNING)
        offered_at = retrained(shop, registry, trainer)
        assert status_of(trainer).step > before.step, "the live learner went on meanwhile"
        until_promoted(shop, registry, offered_at.version)
        wait_for("learning goes on from it", lambda: runs_of(trainer)[1] == run.name)
        position = shop.visit(100)
        wait_for("all is learned", lambda: status_of(trainer).consumed.get("serving-0") == position)
        wait_for("all is published", lambda: manifests_of(registry)[-1].learned.positions["serving-0"] == position)
        status, found = status_of(trainer), manifests_of(registry)
        assert runs_of(trainer)[0][0].state is RunState.LIVE
    retrained_version = found[offered_at.version - 1]
    assert retrained_version.kind is VersionKind.SNAPSHOT
    assert retrained_version.learned.positions == dict(run.until)
    after = [one for one in found[offered_at.version :] if one.lineage.epoch == 1]
    assert len(after) > 0
    assert {one.lineage.lineage for one in after} == {retrained_version.lineage.lineage}
    assert after[0].kind is VersionKind.DELTA, "no new base is needed to go on"
    assert [one.lineage.sequence for one in after] == list(range(2, len(after) + 2))
    assert (status.learned, status.duplicates) == (shop.told, shop.told // 10)
    assert status.pending == status.excluded == status.dead_lettered == 0
    report = audit(tmp_path)
    assert report["digests_equal"]
    assert report["events"]["learned"] == shop.told


def test_killed_at_any_time_the_run_and_the_hand_over_are_finished(tmp_path: Path, shop: Shop, policy: Path) -> None:
    """The trainer dies while the run learns, and again when its version has just been promoted."""
    with service("registry", tmp_path, registry_rollout=policy) as (_, registry):
        with service("trainer", tmp_path, trainer_registry=registry, **SETTINGS) as (process, trainer):
            shop.visit(300)
            wait_for("something is published", lambda: status_of(trainer).last_published_version > 1)
            run = started(trainer, "full_retrain")
            process.send_signal(signal.SIGKILL)
            process.wait(10)
        with service("trainer", tmp_path, trainer_registry=registry, **SETTINGS) as (process, trainer):
            offered = retrained(shop, registry, trainer)
            process.send_signal(signal.SIGKILL)
            process.wait(10)
            promoted_by_hand(registry, offered.version)
        with service("trainer", tmp_path, trainer_registry=registry, **SETTINGS) as (_, trainer):
            wait_for("learning goes on from it", lambda: runs_of(trainer)[1] == run.name)
            position = shop.visit(50)
            wait_for("all is learned", lambda: status_of(trainer).consumed.get("serving-0") == position)
            status = status_of(trainer)
    assert (status.learned, status.duplicates) == (shop.told, shop.told // 10)
    assert status.pending == status.excluded == status.dead_lettered == 0
    report = audit(tmp_path)
    assert report["digests_equal"]
    assert report["events"]["learned"] == shop.told


def test_learning_goes_on_from_a_fine_tuned_version(tmp_path: Path, shop: Shop, policy: Path) -> None:
    with (
        service("registry", tmp_path, registry_rollout=policy) as (_, registry),
        service("trainer", tmp_path, trainer_registry=registry, **SETTINGS) as (_, trainer),
    ):
        shop.visit(300)
        wait_for("something is published", lambda: status_of(trainer).last_published_version > 1)
        started(trainer, "fine_tune")
        offered = retrained(shop, registry, trainer)
        assert "learned again: " in offered.report[0]
        promoted_by_hand(registry, offered.version)
        wait_for("learning goes on from it", lambda: runs_of(trainer)[1] == offered.name)
        position = shop.visit(50)
        wait_for("all is learned", lambda: status_of(trainer).consumed.get("serving-0") == position)
        status = status_of(trainer)
    assert (status.learned, status.duplicates) == (shop.told, shop.told // 10), "what is learned again counts once"
    assert audit(tmp_path)["digests_equal"]


def test_who_is_forgotten_while_a_version_is_on_the_road_is_forgotten_behind_it_too(
    tmp_path: Path, shop: Shop, policy: Path
) -> None:
    with (
        service("registry", tmp_path, registry_rollout=policy) as (_, registry),
        service("trainer", tmp_path, trainer_registry=registry, **SETTINGS) as (_, trainer),
    ):
        shop.visit(100)
        wait_for("something is published", lambda: status_of(trainer).last_published_version > 1)
        started(trainer, "full_retrain")
        offered = retrained(shop, registry, trainer)
        for user in (5, 6):
            word = partial(TrainerClient.forget, model="shop", user_id=user, who="me", why="asked")
            assert told_by(trainer, word).rows == 1
        with pytest.raises(Conflict, match="a user is being forgotten"):
            started(trainer, "full_retrain")
        promoted_by_hand(registry, offered.version)
        wait_for("learning goes on from it", lambda: runs_of(trainer)[1] == offered.name)
        wait_for("they are forgotten there", lambda: len(told_by(trainer, lambda client: client.erasures("shop"))) == 2)
        again = told_by(trainer, lambda client: client.erasures("shop"))
        assert all(one.rows == 1 for one in again)


CHANGED = "tests.integration.changed_rating_model:MODEL"


def test_a_changed_model_comes_up_beside_the_old_one(tmp_path: Path, shop: Shop, policy: Path) -> None:
    with service("registry", tmp_path, registry_rollout=policy) as (_, registry):
        with service("trainer", tmp_path, trainer_registry=registry, **SETTINGS) as (_, trainer):
            position = shop.visit(300)
            wait_for("all is learned", lambda: status_of(trainer).consumed.get("serving-0") == position)
        changed = {**SETTINGS, "trainer_model": CHANGED}
        with service("trainer", tmp_path, trainer_registry=registry, **changed) as (_, trainer):
            wait_for("a run has begun", lambda: runs_of(trainer)[0])
            position = shop.visit(50)
            wait_for("the old model goes on", lambda: status_of(trainer).consumed.get("serving-0") == position)
            offered = retrained(shop, registry, trainer)
            assert offered.strategy == "transfer"
            assert any(line.startswith("padded: space user") for line in offered.report)
            assert any(line.startswith("new: net.hidden.weight") for line in offered.report)
            promoted_by_hand(registry, offered.version)
            wait_for("learning goes on from it", lambda: runs_of(trainer)[1] == offered.name)
            position = shop.visit(50)  # still laid out as the old model reads it
            wait_for("all is learned", lambda: status_of(trainer).consumed.get("serving-0") == position)
            position = shop.visit(50, spec=changed_model.spec)
            wait_for("all is learned", lambda: status_of(trainer).consumed.get("serving-0") == position)
            wait_for("all is published", lambda: manifests_of(registry)[-1].learned.positions["serving-0"] == position)
            status, newest = status_of(trainer), manifests_of(registry)[-1]
    assert newest.feature_spec == changed_model.spec
    assert (status.learned, status.duplicates) == (shop.told, shop.told // 10)
    assert status.pending == status.excluded == status.dead_lettered == 0


def test_an_operator_goes_back_to_a_version_of_the_lineage_before_the_hand_over(
    tmp_path: Path, shop: Shop, policy: Path
) -> None:
    """The former lineage learns again, from that version's state; the promoted one's versions are taken back.

    What it had learned since is excluded; what the log got while the other one learned is learned now.
    """
    with (
        service("registry", tmp_path, registry_rollout=policy) as (_, registry),
        service("trainer", tmp_path, trainer_registry=registry, **SETTINGS) as (_, trainer),
    ):
        shop.visit(200)
        wait_for("something is published", lambda: status_of(trainer).last_published_version > 1)
        former, older = runs_of(trainer)[1], rollout_of(registry).pin_version
        started(trainer, "full_retrain")
        offered = retrained(shop, registry, trainer)
        promoted_by_hand(registry, offered.version)
        wait_for("learning goes on from it", lambda: runs_of(trainer)[1] == offered.name)
        position = shop.visit(50)
        wait_for("all is learned", lambda: status_of(trainer).consumed.get("serving-0") == position)
        told_by(registry, lambda client: client.pin("shop", older, "test", "it was better"), RolloutClient)
        wait_for("learning is back in the former lineage", lambda: runs_of(trainer)[1] == former)
        wait_for("the registry hears of it", lambda: not rollout_of(registry).rewind)
        position = shop.visit(50)
        wait_for("all is learned", lambda: status_of(trainer).consumed.get("serving-0") == position)
        wait_for("all is published", lambda: manifests_of(registry)[-1].learned.positions["serving-0"] == position)
        status, versions, view = status_of(trainer), versions_of(registry), rollout_of(registry)
    newest = decode_manifest(versions[-1].manifest)
    assert (view.pin_version, newest.lineage.epoch) == (older, view.epoch)
    assert newest.lineage.lineage == decode_manifest(versions[older - 1].manifest).lineage.lineage
    assert versions[offered.version - 1].state is CatalogState.ROLLED_BACK
    assert status.learned + status.excluded == shop.told
    assert status.excluded > 0, "what the former lineage had learned beyond the version"
    assert status.pending == status.dead_lettered == 0
    assert audit(tmp_path)["digests_equal"]


def promoted_by_hand(registry: str, version: int) -> None:
    told_by(registry, lambda client: client.promote("shop", version, "test", "it is good"), RolloutClient)


def retrained(shop: Shop, registry: str, trainer: str) -> StrategyRun:
    """Users go on until the run's version is on the structural road."""
    end = time.monotonic() + 60
    while True:
        shop.visit(5)
        run = runs_of(trainer)[0][-1]
        if run.state is RunState.OFFERED:
            return run
        assert run.state is not RunState.FAILED, run.error
        assert time.monotonic() < end, f"the run does not end: {run}"
        time.sleep(0.05)
