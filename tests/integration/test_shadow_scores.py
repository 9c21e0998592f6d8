"""Over the whole replica: records hold what head, pin and candidate say; a leaping head is refused."""

from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from martlet.events import Arm, Prediction
from martlet.versions import Role, VersionState
from serving_svc import shadow
from tests.integration.test_serving import CONTEXT, ITEMS, World, until_reported
from tests.integration.tiny_version import MODEL
from tests.unit.serving.fakes import until

HEAD, PIN, CANDIDATE = 3, 1, 2


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(tmp_path)
    await world.start()
    yield world
    await world.stop()


@pytest.fixture
async def compared(world: World) -> World:
    """Three versions that think differently: 1 is the pin, 2 the candidate, 3 the head of half of the traffic."""
    for n in (1, 2, 3):
        world.trainer.learn("item", 3, [n * 0.5] * 4)
        world.trainer.weights["bias"] = np.array([n / 4], np.float32)
        assert world.publish() == n
    aspire(world, 1, weight=5000)
    for version in (HEAD, PIN, CANDIDATE):
        await until_reported(world, version, VersionState.READY)
    return world


def aspire(world: World, revision: int, weight: int) -> None:
    world.registry.aspire(
        revision,
        world.aspired(HEAD, Role.HEAD, weight),
        world.aspired(PIN, Role.PIN, 10_000 - weight),
        world.aspired(CANDIDATE, Role.CANDIDATE, 0),
    )


async def own_logits(world: World, record: Prediction) -> dict[int, list[float]]:
    """What each version answers when it is asked by name, in the record's order of items."""
    own = {}
    for version in (HEAD, PIN, CANDIDATE):
        answer = await world.client.rank(MODEL, 1, ITEMS, CONTEXT, version=version)
        logits = {item.item_id: item.logit for item in answer.items}
        own[version] = [logits[item] for item in record.item_ids]
    return own


async def test_records_hold_what_each_version_says_itself(compared: World) -> None:
    answers = [await compared.client.rank(MODEL, 1, ITEMS, CONTEXT, session_id=f"s{n}") for n in range(12)]
    assert {answer.arm for answer in answers} == {Arm.LIVE, Arm.PIN}
    recorded = await compared.predictions()
    for answer in answers:
        record = recorded[answer.prediction_id]
        assert (record.version, record.head) == (answer.version, HEAD)
        assert list(record.item_ids) == [item.item_id for item in answer.items]
        own = await own_logits(compared, record)
        assert len({tuple(logits) for logits in own.values()}) == 3
        assert record.scores.keys() == own.keys()
        for version, logits in own.items():
            assert record.scores[version].tolist() == pytest.approx(logits, abs=1e-5)
    named = [record for record in (await compared.predictions()).values() if record.arm is Arm.EXPLICIT]
    assert {tuple(record.scores) for record in named} == {(HEAD,), (PIN,), (CANDIDATE,)}


async def test_recommendations_are_scored_by_the_others_too(compared: World) -> None:
    await compared.client.upsert_items(MODEL, {item: {"item.price": 1.0} for item in range(10)})
    answer = await compared.client.recommend(MODEL, 1, 3, CONTEXT)
    record = (await compared.predictions())[answer.prediction_id]
    assert sorted(record.scores) == [PIN, CANDIDATE, HEAD]
    assert {logits.shape for logits in record.scores.values()} == {(3,)}


async def test_a_head_without_weight_is_recorded_and_scores(compared: World) -> None:
    aspire(compared, 2, weight=0)
    await until(lambda: compared.app.manager.route(MODEL).lane is None)
    answer = await compared.client.rank(MODEL, 1, ITEMS, CONTEXT)
    record = (await compared.predictions())[answer.prediction_id]
    assert (record.arm, record.version, record.weight, record.head) == (Arm.PIN, PIN, 0, HEAD)
    assert sorted(record.scores) == [PIN, CANDIDATE, HEAD]


async def test_versions_unload_when_they_have_scored(compared: World) -> None:
    for n in range(20):
        await compared.client.rank(MODEL, 1, ITEMS, CONTEXT, session_id=f"s{n}")
    compared.registry.aspire(2, compared.aspired(PIN, Role.PIN, 10_000))
    for version in (HEAD, CANDIDATE):
        await until_reported(compared, version, VersionState.RETIRED)
    answer = await compared.client.rank(MODEL, 1, ITEMS, CONTEXT)
    record = (await compared.predictions())[answer.prediction_id]
    assert (record.head, list(record.scores)) == (0, [PIN])


async def test_stopping_loses_no_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shadow, "GATHER_SECONDS", 0.3)  # all of them still wait when the replica is told to stop
    world = World(tmp_path)
    await world.start()
    for n in (1, 2):
        world.trainer.weights["bias"] = np.array([n / 4], np.float32)
        world.publish()
    world.aspire(1, head=2, pin=1, weight=5000)
    await until(lambda: world.app.manager.ready_versions(MODEL) == (1, 2))
    given = [(await world.client.rank(MODEL, n, ITEMS, CONTEXT)).prediction_id for n in range(20)]
    await world.stop()
    recorded = [event for event in world.events() if isinstance(event, Prediction)]
    assert sorted(record.prediction_id for record in recorded) == sorted(given)
    assert {tuple(sorted(record.scores)) for record in recorded} == {(1, 2)}


async def test_a_head_that_would_leap_never_answers_and_the_old_one_goes_on(compared: World) -> None:
    aspire(compared, 2, weight=10_000)
    await compared.answered_by(HEAD)
    for n in range(20):
        await compared.client.rank(MODEL, n, ITEMS, CONTEXT)
    compared.trainer.weights = {name: 10 * weights for name, weights in compared.trainer.weights.items()}
    leaping = compared.publish()
    compared.registry.aspire(3, compared.aspired(leaping, Role.HEAD, 10_000), compared.aspired(PIN, Role.PIN, 0))
    await until_reported(compared, leaping, VersionState.FAILED)
    reason = next(status.reason for status in compared.registry.statuses if status.version == leaping)
    assert reason.startswith("would move recent answers by ")
    assert reason.endswith(" logits on average; the limit is 2")
    for n in range(20):
        answer = await compared.client.rank(MODEL, n, ITEMS, CONTEXT)
        assert (answer.version, answer.arm) == (HEAD, Arm.LIVE)
    compared.registry.aspire(
        4,
        compared.aspired(HEAD, Role.HEAD, 10_000),
        compared.aspired(PIN, Role.PIN, 0),
        compared.aspired(leaping, Role.CANARY, 0),
    )
    await until(lambda: compared.app.manager.route(MODEL).revision == 4)
    assert (await compared.client.rank(MODEL, 1, ITEMS, CONTEXT)).version == HEAD
