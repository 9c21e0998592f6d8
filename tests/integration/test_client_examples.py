"""The examples and the documented commands run against a real replica."""

import asyncio
import re
import shlex
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from martlet.client import BlockingServingClient
from martlet.events import ItemUpsert, Outcome, Prediction
from tests.integration.test_serving import World

ROOT = Path(__file__).parents[2]
COMMANDS = [
    command.strip()
    for block in re.findall(r"```sh\n(.*?)```", (ROOT / "docs/clients.md").read_text().replace("\\\n", ""), re.DOTALL)
    for command in re.split(r"\n(?=grpcurl)", block)
]
GRPCURL = Path(sys.executable).parent / "grpcurl"


@pytest.fixture
async def serving(tmp_path: Path) -> AsyncIterator[World]:
    """Version 1 answers everything."""
    world = World(tmp_path)
    await world.start()
    world.publish()
    world.aspire(1, head=1, pin=1)
    await world.answered_by(1)
    yield world
    await world.stop()


async def run(*command: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, cwd=ROOT
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode()


async def test_recommend_and_the_click_that_follows(serving: World) -> None:
    output = await run(sys.executable, "-m", "examples.client.recommend", serving.address, "shop")
    assert "kettle" in output
    assert "teapot" in output
    assert "samovar" not in output
    assert "version 1 answered" in output
    prediction = next(event for event in serving.events() if isinstance(event, Prediction) and len(event.item_ids) == 2)
    (outcome,) = (event for event in serving.events() if isinstance(event, Outcome))
    assert (outcome.prediction_id, outcome.item_id) == (prediction.prediction_id, prediction.item_ids[0])
    assert (outcome.type, outcome.value) == ("click", 1.0)
    assert outcome.event_id == f"{prediction.prediction_id}/{outcome.item_id!r}/click"
    assert abs(outcome.time_us - prediction.time_us) < 60_000_000


async def test_rank_from_threads(serving: World) -> None:
    output = await run(sys.executable, "-m", "examples.client.rank_from_threads", serving.address, "shop")
    assert [line.split(":")[0] for line in output.splitlines()] == [f"user {n}" for n in range(4)]
    assert len([event for event in serving.events() if isinstance(event, Outcome) and event.type == "rating"]) == 4


async def test_explore_and_explain(serving: World) -> None:
    output = await run(sys.executable, "-m", "examples.client.explore_and_explain", serving.address, "shop")
    assert "came to its place with probability" in output
    total, logit, base = map(float, re.findall(r"together (\S+) = (\S+) - (\S+)", output)[0])
    assert total == pytest.approx(logit - base, abs=2e-4)
    explored = [event for event in serving.events() if isinstance(event, Prediction) and event.propensities is not None]
    assert [len(event.item_ids) for event in explored] == [3]


async def test_the_documented_grpcurl_commands(serving: World) -> None:
    assert len(COMMANDS) == 8
    outputs = []
    for command in COMMANDS:
        words = shlex.split(command.replace("localhost:8500", serving.address))
        outputs.append(await run(str(GRPCURL), *words[1:]))
    listed, described, health, _, recommended, recorded, ranked, explained = outputs
    assert "martlet.v1.ServingService" in listed
    assert "ItemFilter filter" in described
    assert "SERVING" in health
    assert "kettle" in recommended
    assert "samovar" not in recommended
    assert "offset" in recorded
    assert "propensity" in ranked
    assert '"exact": true' in explained
    assert {event.item_id for event in serving.events() if isinstance(event, ItemUpsert)} == {"kettle", "samovar"}


async def test_the_blocking_client_says_what_the_other_one_says(serving: World) -> None:
    def work() -> tuple[object, ...]:
        with BlockingServingClient(serving.address) as client:
            client.upsert_items("shop", {"kettle": {"item.price": 3.0}, 7: {}})
            client.delete_items("shop", [7])
            explanation = client.explain("shop", 1, "kettle", {"hour": 2.0}, permutations=8, seed=3)
            answer = client.recommend("shop", 1, 5, {"hour": 2.0})
            position = answer.purchased("kettle", 2.5, event_id="line-1")
            return answer.items, explanation, position, client.status()

    items, explanation, position, status = await asyncio.to_thread(work)
    assert items == (await serving.client.recommend("shop", 1, 5, {"hour": 2.0})).items
    assert explanation == await serving.client.explain("shop", 1, "kettle", {"hour": 2.0}, permutations=8, seed=3)
    assert position == await serving.client.record_outcomes([Outcome("line-1", "other", 1, "click", 1.0, 1)])
    assert [held.version for held in status] == [1]  # type: ignore[attr-defined]
