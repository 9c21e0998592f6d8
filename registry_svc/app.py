"""The registry's composition root: the only place that constructs."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry

from martlet.clock import SystemClock
from martlet.manifest_signatures import TrustedKeys
from martlet.runtime.auth import Authorizer
from martlet.runtime.config import Config
from martlet.runtime.parts import artifact_store
from martlet.runtime.process_metrics import watch_process
from martlet.runtime.read_gauge import ReadGauge, read_number
from martlet.runtime.server import Listen, Server
from martlet.runtime.server_tls import server_tls
from martlet.runtime.tracing import tracer_of
from martlet.signed_versions import SignatureChecks
from martlet.v1.registry_pb2_grpc import add_RegistryServiceServicer_to_server, add_RolloutServiceServicer_to_server
from martlet.versions import AspiredSet
from registry_svc.admission import AdmissionPolicy
from registry_svc.analysis import ReplicaHealth
from registry_svc.blob_checks import BlobChecks
from registry_svc.catalog_database import open_database
from registry_svc.catalog_judge import SqlJudgeLog
from registry_svc.catalog_lease import SqlLease
from registry_svc.catalog_measurements import SqlMeasurementLog
from registry_svc.catalog_sql import SqlCatalog
from registry_svc.controller import Controller
from registry_svc.counted_threads import CountedThreads
from registry_svc.judge_desk import JudgeDesk
from registry_svc.lease import Lease
from registry_svc.metrics import RegistryMetrics
from registry_svc.operator_desk import OperatorDesk
from registry_svc.policy_file import load_policies
from registry_svc.registry import Registry, Threads
from registry_svc.retention import Retention
from registry_svc.rollouts import Rollouts
from registry_svc.rpc.publish_traces import PublishTraces
from registry_svc.rpc.rollout_servicer import RolloutServicer
from registry_svc.rpc.servicer import RegistryServicer
from registry_svc.tending import tend_forever
from registry_svc.watchers import Watchers

TEND_SECONDS: Final = 0.25
SWEEP_SECONDS: Final = 60.0
ADMISSION_THREADS: Final = 2
GRACE_SECONDS: Final = 1.0


class RegistryApp:
    """A registry. Make it on its event loop, `start` it, `serve` until a signal; `stop` ends it.

    Raises:
        InvalidInput: a setting is wrong.
    """

    def __init__(self, config: Config, collectors: CollectorRegistry) -> None:
        settings, clock = config.registry, SystemClock()
        self._clock, self._config, self._swept = clock, config, float("-inf")
        config.data_dir.mkdir(parents=True, exist_ok=True)
        self._engine = open_database(config.catalog_url)
        pools = {"catalog": CountedThreads(1, "catalog"), "admission": CountedThreads(ADMISSION_THREADS, "admission")}
        self._threads = Threads(pools["catalog"], pools["admission"])
        self._metrics = RegistryMetrics(collectors, clock)
        self._watchers = Watchers(asyncio.get_running_loop(), AspiredSet((), settings.lease_ms))
        self._lease = SqlLease(self._engine, settings.name, clock)
        _watch_state(pools, self._lease, collectors)
        artifacts, catalog = artifact_store(config, cached=True), SqlCatalog(self._engine, self._lease.check)
        policies = load_policies(settings)
        desk = JudgeDesk(SqlJudgeLog(self._engine, self._lease.check), policies)
        self._controller = Controller(
            catalog,
            ReplicaHealth(clock),
            desk,
            self._lease,
            policies,
            settings.lease_ms,
            clock,
            self._metrics,
            self._watchers.publish,
        )
        self._retention = Retention(catalog, artifacts, self._controller)
        registry = Registry(
            catalog,
            SqlMeasurementLog(self._engine, self._lease.check),
            artifacts,
            BlobChecks(artifacts, config.graphs.rules),
            self._controller,
            self._retention,
            self._watchers,
            AdmissionPolicy(settings.max_mean_logit_shift),
            clock,
            self._metrics,
            self._threads,
            settings.max_versions_listed,
            SignatureChecks(artifacts, TrustedKeys([Path(path) for path in config.signing.trusted])),
        )
        operator = OperatorDesk(catalog, self._controller, policies)
        rollouts = Rollouts(catalog, operator, desk, policies, self._threads.catalog)
        self._tracer = tracer_of(config.tracing, config.tls, "registry")
        traces = PublishTraces(self._tracer) if self._tracer is not None else None
        servicer, rollout_servicer = RegistryServicer(registry, traces), RolloutServicer(rollouts)
        listen = Listen(settings.host, settings.grpc_port, settings.metrics_port)
        tls = server_tls(config.tls, settings.host)
        authorizer = Authorizer(config.auth, mutual=tls is not None and tls.mutual)
        watch_process(collectors, "registry", config.data_dir, tls)
        self.server = Server("registry", listen, collectors, authorizer, tls, self._tracer)
        self.server.add("martlet.v1.RegistryService", lambda to: add_RegistryServiceServicer_to_server(servicer, to))
        self.server.add(
            "martlet.v1.RolloutService", lambda to: add_RolloutServiceServicer_to_server(rollout_servicer, to)
        )
        self._beat: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Tells watchers what the catalog says, listens, and begins to tend.

        Raises:
            OSError: a port is taken.
        """
        await asyncio.get_running_loop().run_in_executor(self._threads.catalog, self._lease.renew)
        self._controller.announce()
        await self.server.start()
        self._beat = asyncio.create_task(
            tend_forever((self._controller.tend, self._sweep), self._threads.catalog, TEND_SECONDS, self._metrics)
        )
        await self.server.set_serving(serving=True)

    async def serve(self, ports_file: Path | None) -> None:
        """Serves until SIGTERM or SIGINT, then ends."""
        self.server.announce(ports_file)
        await self.server.serve_until_signal([self._end], GRACE_SECONDS, before_stop=[self._end_watches])

    async def stop(self) -> None:
        """Drains and ends."""
        await self._end_watches()
        await self.server.stop(GRACE_SECONDS)
        await self._end()

    def _sweep(self) -> None:
        """Now and then, where this registry is the one that decides."""
        if self._clock.monotonic() >= self._swept + SWEEP_SECONDS and self._lease.renew():
            self._swept = self._clock.monotonic()
            self._retention.sweep(self._config.registry.versions_kept)

    async def _end_watches(self) -> None:
        self._watchers.close()

    async def _end(self) -> None:
        if self._beat is not None:
            self._beat.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._beat
        for executor in (self._threads.admission, self._threads.catalog):
            await asyncio.to_thread(executor.shutdown)
        if self._tracer is not None:
            await asyncio.to_thread(self._tracer.close)
        self._engine.dispose()


def _watch_state(pools: Mapping[str, CountedThreads], lease: Lease, collectors: CollectorRegistry) -> None:
    """Registers what is read when somebody scrapes."""
    ReadGauge(
        "martlet_registry_waiting_calls",
        "Calls that wait for a pool of threads, or are in it",
        ("pool",),
        lambda: {(name,): float(pool.under_way) for name, pool in pools.items()},
        collectors,
    )
    told = "Whether this registry is the one that decides"
    read_number("martlet_registry_lease_held", told, lambda: float(lease.held), collectors)


@asynccontextmanager
async def running(config: Config) -> AsyncIterator[Server]:
    """A serving registry on the current event loop; ends orderly."""
    app = RegistryApp(config, CollectorRegistry())
    try:
        await app.start()
        yield app.server
    finally:
        await app.stop()


async def run(config: Config, ports_file: Path | None) -> None:
    """Serves until SIGTERM or SIGINT."""
    app = RegistryApp(config, CollectorRegistry())
    try:
        await app.start()
    except OSError:
        await app.stop()
        raise
    await app.serve(ports_file)
