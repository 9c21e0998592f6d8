"""What `martlet versions`, `rollout show` and `status` say of running services."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from martlet.cli import main
from martlet.versions import CatalogState, VersionRecord
from tests.integration.played_services import STATUS
from tests.integration.played_stage import PlayedStage

RECORDS = [
    VersionRecord("shop", 1, "a" * 64, "", 1, CatalogState.PINNED, "", "snapshot", 1_700_000_000_000_000, b"{}"),
    VersionRecord("shop", 2, "b" * 64, "a" * 64, 1, CatalogState.REJECTED, "NaN in [t8.rows]", "delta", 1, b"{}"),
    VersionRecord("shop", 3, "c" * 64, "a" * 64, 1, CatalogState.ADMITTED, "", "delta", 2, b"{}"),
]


@pytest.fixture
async def stage() -> AsyncIterator[PlayedStage]:
    stage = await PlayedStage().start()
    stage.registry.records = RECORDS
    yield stage
    await stage.stop()


async def command(stage: PlayedStage, *arguments: str) -> int:
    """Runs a command in a thread, with the played services' address."""
    places = [f"--{service}={stage.address}" for service in ("serving", "registry", "trainer")]
    return await asyncio.to_thread(main, [*arguments, *places])


async def test_versions_as_json(stage: PlayedStage, capsys: pytest.CaptureFixture[str]) -> None:
    assert await command(stage, "versions", "shop", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert [record["version"] for record in shown] == [1, 2, 3]
    assert (shown[1]["state"], shown[1]["reason"]) == ("rejected", "NaN in [t8.rows]")
    assert "manifest" not in shown[0]


async def test_the_newest_versions_alone(stage: PlayedStage, capsys: pytest.CaptureFixture[str]) -> None:
    await command(stage, "versions", "shop", "--json", "--last", "1")
    assert [record["version"] for record in json.loads(capsys.readouterr().out)] == [3]


async def test_versions_as_a_table(stage: PlayedStage, capsys: pytest.CaptureFixture[str]) -> None:
    assert await command(stage, "versions", "shop") == 0
    shown = capsys.readouterr().out
    assert "2023-11-14 22:13:20" in shown
    assert "rejected" in shown
    assert "[t8.rows]" in " ".join(shown.split())


async def test_rollout_as_json(stage: PlayedStage, capsys: pytest.CaptureFixture[str]) -> None:
    assert await command(stage, "rollout", "show", "shop", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["head_version"], shown["pin_version"], shown["revision"]) == (3, 1, 5)
    assert {version["role"]: version["weight"] for version in shown["versions"]} == {"head": 9000, "pin": 1000}


async def test_rollout_as_a_table(stage: PlayedStage, capsys: pytest.CaptureFixture[str]) -> None:
    assert await command(stage, "rollout", "show", "shop") == 0
    shown = capsys.readouterr().out
    assert "shop: head 3, pin 1, epoch 1, revision 5" in shown
    assert "90.00 %" in shown


async def test_an_unknown_model_is_one_line(stage: PlayedStage, capsys: pytest.CaptureFixture[str]) -> None:
    assert await command(stage, "rollout", "show", "shoes") == 1
    assert capsys.readouterr().err == "martlet: no model shoes\n"


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
