"""`martlet up`: three processes that live and end together; here each is a small stand-in for the real service."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from martlet.up import Plan, Ports, run_until_signal

STAND_IN = """
import json, os, signal, sys, time
from pathlib import Path

name, behaviour, folder = sys.argv[1:4]
ports_file = Path(sys.argv[sys.argv.index("--ports-file") + 1])
note = Path(folder) / name
registry = os.environ.get("MARTLET_SERVING_REGISTRY", "")

def end(number, frame):
    if behaviour == "slow end":
        time.sleep(0.2)
    note.with_suffix(".ended").write_text(str(time.monotonic_ns()))
    sys.exit(3 if behaviour == "bad end" else 0)

signal.signal(signal.SIGTERM, signal.SIG_IGN if behaviour == "stubborn" else end)
if behaviour == "no start":
    sys.exit(2)
note.write_text(json.dumps({"pid": os.getpid(), "registry": registry, "arguments": sys.argv[4:]}))
ports_file.with_suffix(".part").write_text(json.dumps({"grpc_port": len(name), "metrics_port": 1}))
ports_file.with_suffix(".part").replace(ports_file)
if behaviour == "dies":
    sys.exit(7)
while True:
    time.sleep(0.02)
"""


class Home:
    """A plan of stand-ins, and what they noted."""

    def __init__(self, folder: Path, behaviours: Mapping[str, str] | None = None, grace: float = 10.0) -> None:
        self._folder = folder
        staged = behaviours or {}
        commands = {
            name: (sys.executable, "-c", STAND_IN, name, staged.get(name, "lives"), str(folder))
            for name in ("registry", "serving", "trainer")
        }
        self.plan = Plan(["--data-dir", "somewhere"], dict(os.environ), grace, commands)
        self.ports: dict[str, Ports] = {}
        self.up = asyncio.Event()

    async def run(self) -> Sequence[str]:
        def started(ports: Mapping[str, Ports]) -> None:
            self.ports = dict(ports)
            self.up.set()

        return await run_until_signal(self.plan, started)

    def noted(self, name: str) -> dict[str, object]:
        note: dict[str, object] = json.loads((self._folder / name).read_text())
        return note

    def ended_in_order(self) -> set[str]:
        return {path.stem for path in self._folder.glob("*.ended")}


ALL = {"registry", "serving", "trainer"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_all_in_order(tmp_path: Path, number: signal.Signals) -> None:
    home = Home(tmp_path)
    running = asyncio.create_task(home.run())
    await home.up.wait()
    assert home.ports == {name: Ports(len(name), 1) for name in ALL}
    os.kill(os.getpid(), number)
    assert await running == []
    assert home.ended_in_order() == ALL


async def test_the_others_are_told_where_the_registry_listens(tmp_path: Path) -> None:
    home = Home(tmp_path)
    running = asyncio.create_task(home.run())
    await home.up.wait()
    assert home.noted("serving")["registry"] == f"127.0.0.1:{len('registry')}"
    assert home.noted("trainer")["registry"] == f"127.0.0.1:{len('registry')}"
    arguments = home.noted("serving")["arguments"]
    assert isinstance(arguments, list)
    assert arguments[:2] == ["--data-dir", "somewhere"]
    os.kill(os.getpid(), signal.SIGTERM)
    await running


@pytest.mark.parametrize("name", sorted(ALL))
async def test_one_that_dies_takes_the_others_along(tmp_path: Path, name: str) -> None:
    home = Home(tmp_path, {name: "dies"})
    (fault,) = await home.run()
    assert name in fault
    assert "exit code 7" in fault
    for other in ALL - {name}:
        note = tmp_path / other
        if note.exists():  # it was started: then it has ended too
            with pytest.raises(ProcessLookupError):
                os.kill(int(str(home.noted(other)["pid"])), 0)


@pytest.mark.parametrize("name", sorted(ALL))
async def test_one_that_does_not_start_is_named_and_none_stays(tmp_path: Path, name: str) -> None:
    home = Home(tmp_path, {name: "no start"})
    faults = await home.run()
    assert faults[0] == f"the {name} did not start (exit code 2)"
    assert not home.up.is_set()
    for note in (tmp_path / other for other in ALL - {name}):
        if note.exists():
            with pytest.raises(ProcessLookupError):
                os.kill(int(str(home.noted(note.name)["pid"])), 0)


async def test_one_that_does_not_end_in_order_is_named(tmp_path: Path) -> None:
    home = Home(tmp_path, {"serving": "bad end", "trainer": "stubborn"}, grace=0.3)
    running = asyncio.create_task(home.run())
    await home.up.wait()
    os.kill(os.getpid(), signal.SIGTERM)
    assert sorted(await running) == [
        "the serving did not end in order (exit code 3)",
        "the trainer did not end in order (signal SIGKILL)",
    ]


async def test_the_registry_ends_last(tmp_path: Path) -> None:
    """Else a trainer that still reports would have to wait for one that is gone."""
    home = Home(tmp_path, {"trainer": "slow end"})
    running = asyncio.create_task(home.run())
    await home.up.wait()
    os.kill(os.getpid(), signal.SIGTERM)
    assert await running == []
    # The machine's monotonic clock, as each wrote it down: file times are too coarse, and can tie.
    ended = {name: int((tmp_path / name).with_suffix(".ended").read_text()) for name in ALL}
    assert max(ended, key=lambda name: ended[name]) == "registry"
