"""The composition root of a host with several workers: supervisor, table builder, one port, one `/metrics`.

The supervisor answers no request and loads no gRPC. It starts workers (`python -m serving_svc`, spawned, each a replica
of its own), and one builder of tables for all of them; who dies is started again.
"""

import asyncio
import json
import logging
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry

from martlet.errors import Unauthenticated
from martlet.runtime.auth import Authorizer
from martlet.runtime.config import Config
from martlet.runtime.denial_metrics import METRICS, DenialMetrics
from martlet.runtime.metrics_http import MetricsDoor, MetricsServer
from martlet.runtime.process_metrics import watch_process
from martlet.runtime.server_tls import server_tls
from serving_svc.children import Child, Command
from serving_svc.host_metrics import HostMetrics, WorkerPlace
from serving_svc.table_builder import TableBuilder
from serving_svc.table_metrics import watch_arenas
from serving_svc.tables_here import table_views

_log = logging.getLogger(__name__)

BUILDER_ROLE: Final = "builder"
WORKER_ROLE: Final = "worker"
LOOPBACK: Final = "127.0.0.1"
KILL_AFTER_SECONDS: Final = 10.0  # beyond the drain


class ServingHost:
    """A host. Make it on its event loop, and `serve` until a signal.

    Args:
        options: of the command line, for the children: settings file and data directory.

    Raises:
        OSError: the port is taken.
        InvalidInput: a bad setting of `tls` or `auth`.
    """

    def __init__(self, config: Config, options: Sequence[str]) -> None:
        self._config = config
        serving = config.serving
        self._tls = server_tls(config.tls, serving.host)
        self._authorizer = Authorizer(config.auth, mutual=self._tls is not None and self._tls.mutual)
        self._port = _reserved(serving.host, serving.grpc_port)
        self._folder = Path(tempfile.mkdtemp(prefix="martlet-host-"))  # mode 0700; a socket's path must be short
        program = [sys.executable, "-m", "serving_svc", *options]
        tables = str(self._folder / "tables.socket")
        self._builder = Child(
            Command(
                "the table builder",
                [*program, "--role", BUILDER_ROLE],
                {"MARTLET_SERVING_TABLES": tables},
                self._folder / "tables.json",
            )
        )
        self._workers = [self._worker(number, program, tables) for number in range(serving.workers)]
        self._collectors = CollectorRegistry()
        watch_process(self._collectors, "serving", config.data_dir, self._tls)
        self._denials = DenialMetrics(self._collectors, "serving")
        self._metrics = HostMetrics(
            lambda: [_place(one) for one in self._workers], self._builder_place, self._collectors
        )
        self._ended = asyncio.Event()

    async def serve(self, ports_file: Path | None) -> None:
        """Starts all, tells the ports when every worker listens, and ends all in order on SIGTERM or SIGINT.

        Raises:
            InvalidInput: a worker or the builder refuses its settings.
            OSError: the port of the metrics is taken.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._ended.set)
        serving = self._config.serving
        door = MetricsDoor(self._tls, self._authorizer.admits_reader, self._turned_away)
        http = MetricsServer(serving.host, serving.metrics_port, self._metrics, self._metrics.ready, door)
        living = [asyncio.create_task(child.run()) for child in (self._builder, *self._workers)]
        work = [*living, asyncio.create_task(self._announce(ports_file, http.port))]
        ended = asyncio.create_task(self._ended.wait())
        try:
            await asyncio.wait({ended, *living}, return_when=asyncio.FIRST_COMPLETED)
            for task in living:
                if task.done():
                    task.result()
        finally:
            await self._end([ended, *work])
            await asyncio.to_thread(http.close)
            self._port.close()
            await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    async def _end(self, work: Sequence["asyncio.Task[object]"]) -> None:
        """Workers drain at the same time; the builder goes last, since they give their tables back to it."""
        grace = self._config.serving.drain_seconds + KILL_AFTER_SECONDS
        await asyncio.gather(*(worker.end(grace) for worker in self._workers))
        await self._builder.end(KILL_AFTER_SECONDS)
        for task in work:
            task.cancel()
        for task in work:
            with suppress(asyncio.CancelledError, Exception):  # what failed has been told already
                await task

    def _worker(self, number: int, program: Sequence[str], tables: str) -> Child:
        name = f"{self._config.serving.replica}-w{number}"
        settings = {
            "REPLICA": name,
            "WORKERS": "1",
            "TABLES": tables,
            "SHARE_PORT": "true",
            "GRPC_PORT": str(self._port.getsockname()[1]),
            "METRICS_PORT": "0",
        }
        environment = {f"MARTLET_SERVING_{setting}": value for setting, value in settings.items()}
        ports = self._folder / f"w{number}.json"
        return Child(Command(name, [*program, "--role", WORKER_ROLE], environment, ports))

    def _builder_place(self) -> list[WorkerPlace]:
        return [_place(self._builder)]

    def _turned_away(self) -> None:
        self._denials.denied(METRICS, Unauthenticated("a reader of the metrics"))

    async def _announce(self, ports_file: Path | None, metrics_port: int) -> None:
        for worker in self._workers:
            await worker.started.wait()
        ports = {"service": "serving", "grpc_port": self._port.getsockname()[1], "metrics_port": metrics_port}
        line = json.dumps(ports)
        print(line, flush=True)  # noqa: T201  this line is for programs that start us
        if ports_file is not None:
            _tell(ports_file, line)


def _place(child: Child) -> WorkerPlace:
    """Where a child is now. Called from other threads: it only reads, and waits for nothing."""
    return WorkerPlace(child.name, child.pid, child.metrics_port, child.restarts)


async def build_tables(config: Config, ports_file: Path | None) -> None:
    """The builder's process: serves the socket that the settings name, until SIGTERM. Its metrics are on loopback."""
    folder = config.arena_dir / f"{config.serving.replica}-tables"
    await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)  # an earlier builder's
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    with ThreadPoolExecutor(1, "tables") as executor:
        tables, collectors = table_views(config, folder), CollectorRegistry()
        watch_arenas(tables, collectors)
        watch_process(collectors, "serving", config.data_dir, tls=None)
        builder = TableBuilder(tables, folder, executor)
        await builder.start(Path(config.serving.tables))
        http = MetricsServer(LOOPBACK, 0, collectors)
        if ports_file is not None:
            _tell(ports_file, json.dumps({"service": "serving", "metrics_port": http.port}))
        await ended.wait()
        await builder.stop()
        await asyncio.to_thread(http.close)
    await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


def _tell(ports_file: Path, line: str) -> None:
    part = ports_file.with_suffix(".part")
    part.write_text(line + "\n")
    part.replace(ports_file)


def _reserved(host: str, port: int) -> socket.socket:
    """The port, taken for those who share it. It does not listen, so that no connection ends up here."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    reserved = socket.socket(family, socket.SOCK_STREAM)
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        reserved.bind((host, port))
    except OSError as error:
        reserved.close()
        raise OSError(f"cannot listen on {host}:{port}: {error.strerror}") from error
    return reserved
