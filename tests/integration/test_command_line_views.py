"""What `martlet status` says of running services."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from martlet.cli import main
from tests.integration.played_services import STATUS
from tests.integration.played_stage import PlayedStage


@pytest.fixture
async def stage() -> AsyncIterator[PlayedStage]:
    stage = await PlayedStage().start()
    yield stage
    await stage.stop()


async def command(stage: PlayedStage, *arguments: str) -> int:
    """Runs a command in a thread, with the played services' address."""
    places = [f"--{service}={stage.address}" for service in ("serving", "registry", "trainer")]
    return await asyncio.to_thread(main, [*arguments, *places])


async def test_status_as_json(stage: PlayedStage, capsys: pytest.CaptureFixture[str]) -> None:
    assert await command(stage, "status", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert [service["health"] for service in shown.values()] == ["serving"] * 3
    assert shown["serving"]["servables"][0]["state"] == "ready"
    assert shown["trainer"]["step"] == STATUS.step
    assert shown["trainer"]["quality"] == {"auc": 0.7, "logloss": None}


async def test_status_as_a_table(stage: PlayedStage, capsys: pytest.CaptureFixture[str]) -> None:
    assert await command(stage, "status") == 0
    assert "90 learned, 3 pending, 1 excluded, 2 dead-lettered" in " ".join(capsys.readouterr().out.split())


async def test_status_tells_what_is_away_and_fails(stage: PlayedStage, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["status", "--json", f"--serving={stage.address}", f"--registry={stage.address}"]
    assert await asyncio.to_thread(main, [*arguments, "--trainer=127.0.0.1:1"]) == 1
    shown = json.loads(capsys.readouterr().out)
    assert shown["trainer"]["health"] == "unreachable"
    assert shown["serving"]["health"] == "serving"
