"""The loop as real processes, with a stretch of network under the harness's control between each two of them."""

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.operations.fault_processes import Disk, ServiceProcess
from benchmarks.operations.fault_proxy import Link
from benchmarks.training.crash_verdict import MODEL_REF
from tests.servers.nats import NatsServer
from tests.servers.postgres import PostgresServer
from tests.servers.s3 import BUCKET, CREDENTIALS, REGION, S3Server

Part = NatsServer | PostgresServer | S3Server
REPLICAS: Final = ("serving-0", "serving-1")
LEASE_S: Final = 5.0
LONGEST_START_S: Final = 120.0
SETTINGS: Final = {
    "MARTLET_TRAINER_MODEL": MODEL_REF,
    "MARTLET_TRAINER_PUBLISH_INTERVAL_MS": "1000",
    "MARTLET_TRAINER_CHECKPOINT_INTERVAL_SECONDS": "3",
    "MARTLET_TRAINER_INITIAL_BUCKETS": "256",
    "MARTLET_TRAINER_BATCH_EXAMPLES": "32",
    "MARTLET_TRAINER_EVIDENCE_INTERVAL_MS": "500",
    "MARTLET_REGISTRY_QUALITY": "health",
    "MARTLET_REGISTRY_PIN_MIN_SECONDS": "1",
    "MARTLET_REGISTRY_PIN_MIN_REQUESTS": "50",
    "MARTLET_REGISTRY_LEASE_MS": str(int(LEASE_S * 1000)),
    "MARTLET_LOG_LEVEL": "info",
}


@dataclass
class Stage:
    """All processes, disks and links, by name.

    Attributes:
        links: (from, to) → the stretch of network; `to` is a registry, or one of the parts.
        clocks: process → the file that says how wrong its clock is.
        settings: for whoever reads the log and the catalog himself, with no fault between.
    """

    folder: Path
    parts: dict[str, Part] = field(default_factory=dict)
    services: dict[str, ServiceProcess] = field(default_factory=dict)
    links: dict[tuple[str, str], Link] = field(default_factory=dict)
    disks: dict[str, Disk] = field(default_factory=dict)
    clocks: dict[str, Path] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)

    def named(self, prefix: str) -> list[ServiceProcess]:
        """The services whose names begin so."""
        return [one for name, one in self.services.items() if name.startswith(prefix)]

    def links_of(self, name: str) -> list[Link]:
        """Every stretch of network from or to a process or part."""
        return [link for ends, link in self.links.items() if name in ends]

    @property
    def target(self) -> str:
        """The replicas, for a client."""
        return addresses(service.grpc_port for service in self.named("serving-"))

    @property
    def registries(self) -> str:
        """The registries, for a client."""
        return addresses(service.grpc_port for service in self.named("registry-"))

    @property
    def trainer_data(self) -> Path:
        """Where the trainer keeps its journal."""
        return self.services["trainer"].data

    async def begin(self) -> None:
        """Starts everything; services come up by themselves from there."""
        for service in self.services.values():
            await asyncio.to_thread(service.start)

    async def end(self) -> dict[str, int]:
        """Ends the services in order, the trainer first, so that it commits what it has learned: their exit codes."""
        codes = {}
        for name in sorted(self.services, key=lambda name: name != "trainer"):
            codes[name] = await asyncio.to_thread(self.services[name].stop)
        return codes

    async def remove(self, *, keep: bool = False) -> None:
        """Everything goes, also what a fault has left stopped or what never came up; `keep`: but what is on disk."""
        for service in self.services.values():
            service.held = True
            with contextlib.suppress(Exception):
                service.kill()
        for part in self.parts.values():
            with contextlib.suppress(Exception):
                part.send(signal.SIGCONT)
                await asyncio.to_thread(part.kill)
        for link in self.links.values():
            await link.close()
        if keep:
            return
        for disk in self.disks.values():
            disk.remove()
        shutil.rmtree(self.folder, ignore_errors=True)


def _disk(stage: Stage, name: str) -> Path:
    """A folder on a file system of its own; only root can make one, and for others no disk is ever full."""
    folder = stage.folder / name
    if os.geteuid() == 0:
        stage.disks[name] = Disk(folder)
    return folder


def addresses(ports: Iterable[int]) -> str:
    """Several hosts as one address, as a name that resolves to all of them would give."""
    return "ipv4:" + ",".join(f"127.0.0.1:{port}" for port in ports)


async def embedded(folder: Path, seed: int) -> Stage:
    """One registry, two replicas, a trainer, on one data directory on one disk. A part is `registry` alone."""
    stage = Stage(folder)
    data = _disk(stage, "data") / "martlet"
    await _add_services(stage, ("registry-0",), lambda _: data, seed, lambda _: {})
    stage.settings = {**SETTINGS, "MARTLET_DATA_DIR": str(data)}
    return stage


async def on_real_parts(folder: Path, seed: int) -> Stage:
    """Two registries on PostgreSQL, two replicas, a trainer; JetStream, and a store that speaks S3."""
    stage = Stage(folder)
    broker, database, store = NatsServer(folder / "nats"), PostgresServer(folder / "postgres"), S3Server(folder / "s3")
    await asyncio.gather(*(asyncio.to_thread(part.start) for part in (broker, database, store)))
    url = database.new_database()
    stage.parts = {"broker": broker, "database": database, "store": store}
    ports = {"broker": broker.port, "database": database.port, "store": store.port}

    async def link(name: str, to: str) -> int:
        return await _link(stage, name, to, ports[to], seed)

    own: dict[str, dict[str, str]] = {}
    for name in ("registry-0", "registry-1", *REPLICAS, "trainer"):
        own[name] = _store(f"http://127.0.0.1:{await link(name, 'store')}")
        if name.startswith("registry-"):
            own[name]["MARTLET_REGISTRY_CATALOG_URL"] = url.replace(
                str(database.port), str(await link(name, "database"))
            )
        else:
            own[name] |= _log(f"nats://127.0.0.1:{await link(name, 'broker')}")
    await _add_services(
        stage, ("registry-0", "registry-1"), lambda name: _disk(stage, name) / "data", seed, lambda name: own[name]
    )
    stage.settings = {
        **SETTINGS, **_store(store.endpoint), **_log(broker.url), "MARTLET_REGISTRY_CATALOG_URL": url,
        "MARTLET_DATA_DIR": str(stage.trainer_data),
    }  # fmt: skip
    return stage


async def _add_services(
    stage: Stage,
    registries: tuple[str, ...],
    data_of: Callable[[str], Path],
    seed: int,
    own: Callable[[str], Mapping[str, str]],
) -> None:
    """Each caller of a registry has a stretch of network of its own to it."""
    for name in registries:
        _add(stage, name, "registry_svc", data_of(name), {"MARTLET_REGISTRY_NAME": name, **own(name)})
    for name in (*REPLICAS, "trainer"):
        ports = [await _link(stage, name, to, stage.services[to].grpc_port, seed) for to in registries]
        section = "TRAINER" if name == "trainer" else "SERVING"
        settings = {f"MARTLET_{section}_REGISTRY": addresses(ports), **own(name)}
        if section == "SERVING":
            settings["MARTLET_SERVING_REPLICA"] = name
        _add(stage, name, f"{section.lower()}_svc", data_of(name), settings)


async def _link(stage: Stage, name: str, to: str, port: int, seed: int) -> int:
    made = stage.links[name, to] = Link(port, seed + len(stage.links))
    await made.start()
    return made.port


def _add(stage: Stage, name: str, module: str, data: Path, settings: Mapping[str, str]) -> None:
    clock = stage.clocks[name] = stage.folder / f"{name}.clock"
    stage.services[name] = ServiceProcess(name, module, data, stage.folder, {**SETTINGS, **settings}, clock)


def _store(endpoint: str) -> dict[str, str]:
    return {
        **CREDENTIALS,
        "MARTLET_ARTIFACTS_KIND": "s3",
        "MARTLET_ARTIFACTS_BUCKET": BUCKET,
        "MARTLET_ARTIFACTS_PREFIX": "faults",
        "MARTLET_ARTIFACTS_ENDPOINT": endpoint,
        "MARTLET_ARTIFACTS_REGION": REGION,
    }


def _log(url: str) -> dict[str, str]:
    return {"MARTLET_EVENT_LOG_KIND": "jetstream", "MARTLET_EVENT_LOG_URL": url}
