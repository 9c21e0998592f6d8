"""`martlet explain` against a real replica."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from martlet.cli import main
from martlet.feature_encoding import RankInput, Value, encode
from tests.integration.test_serving import MODEL, World
from tests.unit.core.samples import SPEC


@pytest.fixture
async def serving(tmp_path: Path) -> AsyncIterator[World]:
    """Version 1 answers everything; item 3 is announced."""
    world = World(tmp_path)
    await world.start()
    world.publish()
    world.aspire(1, head=1, pin=1)
    await world.answered_by(1)
    await world.client.upsert_items(MODEL, {3: {"item.price": 7.0}})
    yield world
    await world.stop()


async def explain(world: World, *arguments: str) -> int:
    return await asyncio.to_thread(main, ["explain", MODEL, *arguments, f"--serving={world.address}"])


def logit(world: World, context: dict[str, Value], price: float | None, user: int | None = 1) -> float:
    values: dict[str, Value] = {} if price is None else {"item.price": price}
    return float(world.trainer.logits(encode(SPEC, RankInput(user, context, [3], [values])))[0])


async def test_as_json_it_says_what_the_trainers_numbers_say(
    serving: World, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("3", "--user=1", "--context=hour=13", "--context=recent_items=[5,6]", "--shapley=100", "--json")
    assert await explain(serving, *arguments) == 0
    shown = json.loads(capsys.readouterr().out)
    context: dict[str, Value] = {"hour": 13, "recent_items": [5, 6]}
    whole = logit(serving, context, 7.0)
    assert shown["logit"] == pytest.approx(whole, abs=1e-4)
    assert (shown["version"], shown["arm"], shown["exact"]) == (1, "live", True)
    parts = {part["source"]: part for part in shown["contributions"]}
    assert parts["item.price"]["without"] == pytest.approx(whole - logit(serving, context, None), abs=1e-4)
    assert parts["hour"]["without"] == pytest.approx(whole - logit(serving, {"recent_items": [5, 6]}, 7.0), abs=1e-4)
    assert parts["user_id"]["without"] == pytest.approx(whole - logit(serving, context, 7.0, None), abs=1e-4)
    total = sum(part["shapley"] for part in shown["contributions"])
    assert total == pytest.approx(shown["logit"] - shown["base_logit"], abs=1e-5)


async def test_as_a_table_it_says_what_adds_up(serving: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert await explain(serving, "3", "--user=1", "--feature=item.price=2.0") == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "shop version 1: item 3 has score" in shown
    assert "these do not add up" in shown
    assert "Shapley" not in shown
    assert await explain(serving, "3", "--shapley=8") == 0
    assert "from all subsets of the features, add up to" in " ".join(capsys.readouterr().out.split())


async def test_what_cannot_be_is_told_in_a_line(serving: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert await explain(serving, "3", "--feature=item.price=cheap") == 2
    assert "feature 'item.price' takes a number" in capsys.readouterr().err
    assert await explain(serving, "3", "--shapley=1") == 2
    assert "from 2 (one pair)" in capsys.readouterr().err
    assert await explain(serving, "3", "--version=9") == 1
    assert "no version 9" in capsys.readouterr().err
    for bad in ("--context=hour", "--context=hour=true", "--context=hour={}"):
        with pytest.raises(SystemExit, match="2"):
            main(["explain", MODEL, "3", bad])
