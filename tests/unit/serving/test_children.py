"""Children are started again when they end, and end when they are told to."""

import asyncio
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from martlet.errors import InvalidInput
from serving_svc.children import Child, Command
from serving_svc.restarts import LONGEST_PAUSE, STEADY_SECONDS, failures_after, pause
from tests.unit.serving.fakes import until

TELLS = """
import pathlib, sys, time
ports = pathlib.Path(sys.argv[-1])
ports.with_suffix(".part").write_text('{"metrics_port": 7}')
ports.with_suffix(".part").replace(ports)
time.sleep(60)
"""
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + TELLS.replace("\n", ";").strip(";")


def child(root: Path, program: str) -> Child:
    return Child(Command("w0", [sys.executable, "-c", program], {}, root / "ports.json"))


async def test_one_that_dies_is_started_again(tmp_path: Path) -> None:
    worker = child(tmp_path, TELLS)
    running = asyncio.create_task(worker.run())
    await until(lambda: worker.metrics_port == 7, 30)
    first = worker.pid
    os.kill(first, signal.SIGKILL)
    await until(lambda: worker.pid not in (0, first) and worker.metrics_port == 7, 30)
    assert worker.restarts == 1
    await worker.end(10)
    await running
    assert worker.pid == 0


async def test_one_that_refuses_its_settings_is_not_tried_again(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="w0 did not start"):
        await child(tmp_path, "raise SystemExit(2)").run()


async def test_one_that_outstays_its_grace_is_killed(tmp_path: Path) -> None:
    worker = child(tmp_path, DEAF)
    running = asyncio.create_task(worker.run())
    await until(worker.started.is_set, 30)
    pid = worker.pid
    await worker.end(0.1)
    await running
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        pytest.fail("it lives")


def test_pauses_grow_and_a_steady_process_begins_anew() -> None:
    assert [pause(n) for n in (1, 2, 3)] == [0.1, 0.2, 0.4]
    assert pause(1000) == LONGEST_PAUSE
    assert failures_after(5, 1.0) == 6
    assert failures_after(5, STEADY_SECONDS) == 1
