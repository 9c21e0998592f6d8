"""`martlet up`: the three services on this machine, as child processes that live and end together."""

import asyncio
import json
import os
import signal
import sys
import tempfile
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from martlet.errors import Unavailable

POLL_SECONDS: Final = 0.02
START_SECONDS: Final = 120.0
COMMANDS: Final[Mapping[str, Sequence[str]]] = {
    name: (sys.executable, "-m", f"{name}_svc") for name in ("registry", "serving", "trainer")
}


@dataclass(frozen=True, slots=True)
class Ports:
    """Where a started service listens."""

    grpc_port: int
    metrics_port: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What to start.

    Attributes:
        arguments: for every service, such as `--data-dir`.
        environment: of every service.
        grace: seconds that the services may take to end before they are killed.
        commands: how each service is started.
    """

    arguments: Sequence[str]
    environment: Mapping[str, str]
    grace: float
    commands: Mapping[str, Sequence[str]] = field(default_factory=lambda: COMMANDS)


class Household:
    """The child processes. Lives on one event loop.

    The registry is started first, because the other two are told where it listens. Each child is a session of its own,
    so that Ctrl-C reaches this process alone and the children end in order.
    """

    def __init__(self, plan: Plan, folder: Path) -> None:
        self._plan = plan
        self._folder = folder
        self._children: dict[str, Process] = {}

    async def start(self) -> dict[str, Ports]:
        """Starts all three and waits until each has bound its ports.

        Raises:
            Unavailable: one ended, or took too long, before that.
        """
        first = await self._start("registry", {})
        registry = f"127.0.0.1:{first.grpc_port}"
        where = {"MARTLET_SERVING_REGISTRY": registry, "MARTLET_TRAINER_REGISTRY": registry}
        serving, trainer = await asyncio.gather(self._start("serving", where), self._start("trainer", where))
        return {"registry": first, "serving": serving, "trainer": trainer}

    async def first_to_end(self) -> str:
        """Waits until a child ends, and says which and how."""
        waits = {asyncio.create_task(child.wait()): name for name, child in self._children.items()}
        try:
            ended, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        wait = ended.pop()
        return f"the {waits[wait]} ended by itself ({_how(wait.result())})"

    async def stop(self) -> list[str]:
        """Ends all that live; the registry last, since the others report to it to the end.

        Each gets SIGTERM, and SIGKILL if it outstays the grace. Returns who did not end in order.
        """
        living = {name: child for name, child in self._children.items() if child.returncode is None}
        dependants = [name for name in living if name != "registry"]
        codes = dict(zip(dependants, await asyncio.gather(*(self._end(living[n]) for n in dependants)), strict=True))
        if "registry" in living:
            codes["registry"] = await self._end(living["registry"])
        return [f"the {name} did not end in order ({_how(code)})" for name, code in codes.items() if code]

    async def _end(self, child: Process) -> int:
        child.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(self._plan.grace):
                return await child.wait()
        except TimeoutError:
            child.kill()
            return await child.wait()

    async def _start(self, name: str, environment: Mapping[str, str]) -> Ports:
        ports_file = self._folder / f"{name}.json"
        child = self._children[name] = await asyncio.create_subprocess_exec(
            *self._plan.commands[name],
            *self._plan.arguments,
            "--ports-file",
            str(ports_file),
            env={**self._plan.environment, **environment},
            stdout=DEVNULL,  # the announced ports: they stand in the file too
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(START_SECONDS):
                while not ports_file.exists():
                    if child.returncode is not None:
                        raise Unavailable(f"the {name} did not start ({_how(child.returncode)})")
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            raise Unavailable(f"the {name} did not start within {START_SECONDS:.0f} s") from None
        bound = json.loads(ports_file.read_text())
        return Ports(bound["grpc_port"], bound["metrics_port"])


async def run_until_signal(plan: Plan, started: Callable[[Mapping[str, Ports]], None]) -> Sequence[str]:
    """Runs the services until SIGTERM or SIGINT, or until one of them ends. Returns what went wrong, if anything."""
    ended = _signals()
    with tempfile.TemporaryDirectory(prefix="martlet-") as folder:
        household = Household(plan, Path(folder))
        faults: list[str] = []
        try:
            fault = await _first_of(_run(household, started), ended)
            faults.extend([fault] if fault else [])
        except Unavailable as error:
            faults.append(str(error))
        finally:
            faults.extend(await household.stop())
    return faults


async def _run(household: Household, started: Callable[[Mapping[str, Ports]], None]) -> str:
    started(await household.start())
    return await household.first_to_end()


async def _first_of(work: Coroutine[Any, Any, str], ended: asyncio.Event) -> str:
    """What the work says, or nothing when the signal comes first."""
    working, waiting = asyncio.create_task(work), asyncio.create_task(ended.wait())
    await asyncio.wait({working, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if working.done():
        return working.result()
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    return ""


def _signals() -> asyncio.Event:
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    return ended


def _how(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def child_environment(model: str, *, json_logs: bool, base: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The children's environment: this one, and what the command line says."""
    environment = dict(base)
    if model:
        environment["MARTLET_TRAINER_MODEL"] = model
    if json_logs:
        environment["MARTLET_LOG_FORMAT"] = "json"
    return environment
