"""docs/open-inference.md: its commands run as they stand there, and what it shows is what comes."""

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.client_environments import PERF_ANALYZER, TRITON
from tests.integration.test_serving import World
from tests.integration.test_third_party_clients import perf_analyzer_libraries

PAGE = (Path(__file__).parents[2] / "docs" / "open-inference.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
SHOWN = [(BLOCKS[i][1], BLOCKS[i + 1][1]) for i in range(len(BLOCKS) - 1) if BLOCKS[i + 1][0] == "json"]
PORT = "127.0.0.1:8500"

pytestmark = pytest.mark.timeout(600)  # the first run of a machine installs what the clients need


@pytest.fixture
async def address(tmp_path: Path) -> AsyncIterator[str]:
    world = World(tmp_path)
    await world.start()
    world.publish()
    world.aspire(1, head=1, pin=1)
    await world.answered_by(1)
    yield world.address
    await world.stop()


async def run(command: str, paths: list[Path], **settings: str) -> str:
    path = os.pathsep.join([*map(str, paths), str(Path(sys.executable).parent), os.environ["PATH"]])
    shell = await asyncio.create_subprocess_shell(
        command, env={**os.environ, "PATH": path, **settings}, stdout=-1, stderr=-1, executable="/bin/bash"
    )
    told, errors = await shell.communicate()
    assert shell.returncode == 0, errors.decode()
    return told.decode()


def check_like(found: Any, shown: Any, place: str = "answer") -> None:
    """Equal, but for texts that the page cuts short with an ellipsis."""
    if isinstance(shown, dict):
        assert found.keys() == shown.keys(), place
        for name, value in shown.items():
            check_like(found[name], value, f"{place}.{name}")
    elif isinstance(shown, list):
        assert len(found) == len(shown), place
        for i, value in enumerate(shown):
            check_like(found[i], value, f"{place}[{i}]")
    elif isinstance(shown, str) and shown.endswith("…"):
        assert found.startswith(shown[:-1]), place
    else:
        assert found == shown, place


@pytest.mark.parametrize(("command", "shown"), SHOWN, ids=[command.split("/")[-1].strip() for command, _ in SHOWN])
async def test_a_command_shows_what_the_page_shows(address: str, command: str, shown: str) -> None:
    check_like(json.loads(await run(command.replace(PORT, address), [])), json.loads(shown))


async def test_the_python_example_runs(address: str) -> None:
    (script,) = [text for language, text in BLOCKS if language == "python"]
    python = await asyncio.to_thread(TRITON.python)
    process = await asyncio.create_subprocess_exec(
        str(python), "-c", script.replace(PORT, address), stdout=-1, stderr=-1
    )
    told, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    assert re.fullmatch(r"\[0\.\d+ +0\.\d+\] 1\n", told.decode())


async def test_the_measurement_runs(address: str) -> None:
    (command,) = [text for language, text in BLOCKS if language == "sh" and text.startswith("perf_analyzer")]
    await asyncio.to_thread(PERF_ANALYZER.python)
    told = await run(command.replace(PORT, address), [PERF_ANALYZER.folder / "bin"], **perf_analyzer_libraries())
    assert "Server:" in told
    assert "Throughput: 0 infer/sec" not in told
