"""The registry's composition root: the only place that constructs."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

from prometheus_client import CollectorRegistry

from martlet.artifacts import FolderStore
from martlet.clock import SystemClock
from martlet.runtime.auth import Authorizer
from martlet.runtime.config import Config
from martlet.runtime.server import Listen, Server
from martlet.v1.registry_pb2_grpc import add_RegistryServiceServicer_to_server
from martlet.versions import AspiredSet
from registry_svc.admission import Admission, AdmissionPolicy
from registry_svc.analysis import ReplicaHealth
from registry_svc.aspired_versions import AspiredVersions
from registry_svc.catalog_sql import SqlCatalog
from registry_svc.controller import Controller
from registry_svc.registry import Registry
from registry_svc.rollout import LanePolicy
from registry_svc.rpc.servicer import RegistryServicer

TEND_SECONDS = 0.25


@asynccontextmanager
async def running(config: Config) -> AsyncIterator[Server]:
    """A serving registry on the current event loop; ends orderly."""
    config.data_dir.mkdir(parents=True, exist_ok=True)
    settings = config.registry
    catalog = SqlCatalog(config.catalog_url)
    aspired = AspiredVersions(asyncio.get_running_loop(), AspiredSet((), settings.lease_ms))
    artifacts = FolderStore(config.artifact_dir)
    registry = Registry(
        catalog,
        artifacts,
        Admission(artifacts, AdmissionPolicy(settings.max_mean_logit_shift)),
        ReplicaHealth(SystemClock()),
        LanePolicy(settings.lane_weight, settings.pin_min_seconds, settings.pin_min_requests),
        SystemClock(),
        settings.lease_ms,
        aspired.publish,
    )
    aspired.publish(registry.aspired())
    with ThreadPoolExecutor(1, "registry") as thread:
        servicer = RegistryServicer(registry, aspired, thread, settings.max_versions_listed)
        listen = Listen(settings.host, settings.grpc_port, settings.metrics_port)
        server = Server("registry", listen, CollectorRegistry(), Authorizer(config.auth))
        server.add("martlet.v1.RegistryService", lambda grpc: add_RegistryServiceServicer_to_server(servicer, grpc))
        await server.start()
        controller = Controller(registry, thread, TEND_SECONDS)
        controller.start()
        await server.set_serving(serving=True)
        try:
            yield server
        finally:
            await controller.stop()
            await server.stop(1.0)
    catalog.close()


async def run(config: Config, ports_file: Path | None) -> None:
    """Serves until SIGTERM or SIGINT."""
    async with running(config) as server:
        server.announce(ports_file)
        await server.serve_until_signal((), 1.0)
