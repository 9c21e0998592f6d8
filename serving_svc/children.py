"""Child processes that are started again when they end, until told to end for good."""

import asyncio
import contextlib
import json
import logging
import os
import signal
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from martlet.errors import InvalidInput
from serving_svc.restarts import failures_after, pause

_log = logging.getLogger(__name__)

BAD_SETTING: Final = 2
_POLL_SECONDS: Final = 0.02


@dataclass(frozen=True, slots=True)
class Command:
    """How a child is started.

    Attributes:
        environment: beside this process's own.
        ports_file: where it tells the ports it has bound, as its last word before it serves; None: it has none.
    """

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    ports_file: Path | None = None


class Child:
    """One child process. Lives on one event loop.

    Its stdin is a pipe from this process: when that ends, this process is gone, however it went, and the child ends
    itself. It has a session of its own, so that Ctrl-C reaches this process alone and children end in order.

    Attributes:
        restarts: how often it was started again.
        metrics_port: where it tells its metrics; 0: nowhere yet.
    """

    def __init__(self, command: Command) -> None:
        self.name = command.name
        self.restarts = 0
        self.metrics_port = 0
        self.started = asyncio.Event()
        self._command = command
        self._process: Process | None = None
        self._ending = asyncio.Event()

    @property
    def pid(self) -> int:
        """Of the process that runs; 0: none does."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else 0

    async def run(self) -> None:
        """Keeps it alive until `end`.

        Raises:
            InvalidInput: it refused its settings before it had ever served.
        """
        failures = 0
        while not self._ending.is_set():
            began = time.monotonic()
            code = await self._live()
            if self._ending.is_set():
                return
            if code == BAD_SETTING and not self.started.is_set():
                raise InvalidInput(f"{self.name} did not start; its own line says why")
            failures = failures_after(failures, time.monotonic() - began)
            _log.error("%s ended by itself (%d), starting it again in %.1f s", self.name, code, pause(failures))
            await asyncio.sleep(pause(failures))
            self.restarts += 1

    async def end(self, grace: float) -> None:
        """SIGTERM, and SIGKILL if it outstays the grace (seconds)."""
        self._ending.set()
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(grace):
                await process.wait()
        except TimeoutError:
            _log.error("%s outstayed its grace of %.0f s", self.name, grace)
            process.kill()
            await process.wait()

    async def _live(self) -> int:
        """One life, from start to end; gives its exit code."""
        command, ports = self._command, self._command.ports_file
        self.metrics_port = 0
        arguments = list(command.arguments)
        if ports is not None:
            ports.unlink(missing_ok=True)
            arguments += ["--ports-file", str(ports)]
        self._process = process = await asyncio.create_subprocess_exec(
            *arguments,
            env={**os.environ, **command.environment},
            stdin=PIPE,
            stdout=DEVNULL,  # the announced ports: they stand in the file too
            start_new_session=True,
        )
        watching = asyncio.create_task(self._watch(ports))
        try:
            return await process.wait()
        finally:
            watching.cancel()

    async def _watch(self, ports: Path | None) -> None:
        while ports is not None and not self.metrics_port:
            await asyncio.sleep(_POLL_SECONDS)
            self.metrics_port = _told_port(ports)
        self.started.set()


def _told_port(ports: Path) -> int:
    """The metrics port; 0 while the child has not told it."""
    try:
        return int(json.loads(ports.read_text())["metrics_port"])
    except FileNotFoundError:
        return 0
