"""A stage for measuring serving: DeepFMs of 20 features of 16 columns in a real registry, served by real processes.

`Versions` makes versions, `registry_with` offers them to a registry, `serving` starts a replica or a host of workers on
one core, so that a load on the other does not disturb what is measured.
"""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.request import urlopen

import numpy as np
import torch
from torch import nn

import martlet.learn as ml
from martlet.artifacts import FolderStore
from martlet.client.registry import RegistryClient
from martlet.feature_encoding import ItemId, RankInput, Value, feed
from martlet.feature_spec import FeatureBlock
from martlet.learn.models.perceptron import perceptron
from martlet.manifest import Learned, Lineage, Manifest, Provenance, VersionKind, encode_manifest, manifest_digest
from martlet.oip import open_inference_pb2 as oip
from martlet.wire.serving import RankQuery
from martlet.wire.serving import rank_request as rank_message
from trainer_svc.export.exporter import Exporter
from trainer_svc.learner import Learner
from trainer_svc.made_up import made_up_batch
from trainer_svc.version_builder import ModelIdentity, TableChange, TableSnapshot, VersionBuilder, VersionPayload

FIELDS: Final = 20
WIDTH: Final = 16
HIDDEN: Final = (256, 128, 64)
BUCKETS: Final = 1 << 16
SERVER_CORE: Final = 0
_NOW_US: Final = 1_700_000_000_000_000
_START_SECONDS: Final = 60.0


class PackedFM(nn.Module):
    """A DeepFM over one list of `FIELDS` ids, one for each field: the form in which CTR models get hashed features."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = nn.Embedding(1, WIDTH)
        self.mlp = perceptron(FIELDS * WIDTH, HIDDEN)

    def forward(self, *, fields: torch.Tensor, fields_mask: torch.Tensor) -> torch.Tensor:
        """Logits [B]."""
        vectors = self.rows(fields) * fields_mask[:, :, None]
        total = vectors.sum(1)
        pairs: torch.Tensor = 0.5 * (total * total - (vectors * vectors).sum(1)).sum(1)
        deep: torch.Tensor = self.mlp(vectors.flatten(1)).squeeze(1)
        logits: torch.Tensor = pairs + deep
        return logits


def named_model() -> ml.Model:
    """Twenty features by name, half of them the request's: a request carries 21 tensors."""
    half = FIELDS // 2
    users = {f"u{i}": ml.Id(f"c{i}" if i else "user_id") for i in range(half)}
    items = {f"i{i}": ml.Id(f"item.a{i}" if i else "item_id") for i in range(half)}
    return ml.model_of(
        "named", ml.DeepFM, inputs={**users, **items}, label=ml.Binary("click", "30m"), dim=WIDTH - 1, hidden=HIDDEN
    )


def packed_model(name: str = "packed") -> ml.Model:
    """Twenty features in one list of the item's: a request carries three tensors."""
    fields = ml.IdList("item.fields", max_len=FIELDS)
    return ml.Model(name, PackedFM, inputs={"fields": fields}, label=ml.Binary("click", "30m"))


class Versions:
    """Makes versions of one model in a data directory: learned a little, with a table of realistic size."""

    def __init__(self, model: ml.Model, data_dir: Path, buckets: int = BUCKETS) -> None:
        self.model = model
        self.data_dir = data_dir
        self.newest: Manifest
        self.learner = Learner(model, buckets)
        self._builder = VersionBuilder(FolderStore(data_dir / "artifacts"), ModelIdentity(model.name, model.spec))
        self._exporter = Exporter(model)
        self._graph = self._exporter.graph(self.learner)
        self._random = np.random.default_rng(7)
        self._number = 0
        self._parent = ""

    def learn(self, batches: int = 20, size: int = 512) -> None:
        """Learns made-up examples."""
        for _ in range(batches):
            self.learner.learn(made_up_batch(self.model.spec, self._random, size), _NOW_US)

    def snapshot(self) -> Manifest:
        """The next version, as a whole; `newest` is it from now on."""
        for table in self.learner.tables.values():
            table.tracker.take()
            table.tracker.acknowledge()
        self._graph = self._exporter.graph(self.learner)  # the table may have grown
        tables = tuple(TableSnapshot(t.name, t.width, t.base()) for t in self.learner.tables.values())
        return self._build(VersionKind.SNAPSHOT, tables)

    def delta(self, parent: Manifest) -> Manifest:
        """The next version, as what changed since the one before it, which was this parent."""
        tables = []
        for table, known in zip(self.learner.tables.values(), parent.tables, strict=True):
            touched = table.tracker.take()
            cut = table.changed(touched)
            table.tracker.acknowledge()
            tables.append(TableChange(known, cut))
        return self._build(VersionKind.DELTA, tuple(tables))

    def _build(self, kind: VersionKind, tables: tuple[TableSnapshot | TableChange, ...]) -> Manifest:
        self._number += 1
        manifest = self._builder.build(
            VersionPayload(
                number=self._number,
                kind=kind,
                lineage=Lineage(f"{self.model.name}-bench", self._parent, 0, self._number),
                learned=Learned({}, self.learner.steps, 0, 0),
                provenance=Provenance("0", "bench", ""),
                graph=self._graph,
                dense=self.learner.dense_weights(),
                tables=tables,
                metrics={},
            )
        )
        self._parent, self.newest = manifest_digest(encode_manifest(manifest)), manifest
        return manifest


def rank_request(model: ml.Model, rows: int, session: str = "s") -> bytes:
    """A `Rank` of so many candidates, with a value for every feature."""
    sources = [feature.source for feature in model.spec.features]
    context: dict[str, Value] = {source: 7 for source in sources if source.startswith("c")}
    values: dict[str, Value] = {source: 9 for source in sources if source.startswith("item.")}
    if "item.fields" in values:
        values["item.fields"] = list(range(FIELDS))
    items: list[ItemId] = list(range(1, rows + 1))
    query = RankQuery(model.name, session, 0, RankInput(3, context, items, [values] * rows))
    return rank_message(query).SerializeToString()


def infer_request(model: ml.Model, block: FeatureBlock) -> bytes:
    """A `ModelInfer` on raw tensors."""
    message = oip.ModelInferRequest(model_name=model.name, id="1")
    for name, array in feed(model.spec, block).items():
        message.inputs.add(name=name, datatype="INT64" if array.dtype == np.int64 else "FP32", shape=array.shape)
        message.raw_input_contents.append(array.tobytes())
    return message.SerializeToString()


@dataclass(frozen=True, slots=True)
class Service:
    """A started process."""

    process: "subprocess.Popen[bytes]"
    grpc_port: int
    metrics_port: int

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.grpc_port}"

    def pids(self) -> list[int]:
        """The process and all that it started."""
        return [self.process.pid, *descendants(self.process.pid)]

    def stop(self) -> None:
        """Ends it in order."""
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def descendants(pid: int) -> list[int]:
    """All processes below one."""
    found: list[int] = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in map(int, children.read_text().split()):
                found += [child, *descendants(child)]
    return found


def cpu_seconds(pids: Sequence[int]) -> float:
    """User and system time that the processes have used."""
    ticks = 0
    for pid in pids:
        with suppress(OSError):
            stat = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            ticks += int(stat[11]) + int(stat[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def pss_mb(pid: int) -> float:
    """Memory of a process with shared pages divided among those that map them, in MB (10^6 bytes)."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024 / 1e6
    return float("nan")


def rss_mb(pid: int) -> float:
    """Resident memory of a process, in MB (10^6 bytes)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    return float("nan")


@contextmanager
def service(
    command: Sequence[str], environment: Mapping[str, str] | None = None, core: int | None = None
) -> Iterator[Service]:
    """A service that tells its ports in a file; ended in order when the block is left.

    Raises:
        TimeoutError: it did not tell its ports in time.
    """
    folder = Path(tempfile.mkdtemp(prefix="martlet-bench-"))
    ports = folder / "ports.json"
    pinned = ["taskset", "-c", str(core), *command] if core is not None else list(command)
    process = subprocess.Popen(
        [*pinned, "--ports-file", str(ports)],
        env={**os.environ, **(environment or {})},
        stdout=subprocess.DEVNULL,
        stderr=(folder / "stderr").open("wb"),
    )
    try:
        deadline = time.monotonic() + _START_SECONDS
        while not ports.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise TimeoutError(f"{command} did not start: {(folder / 'stderr').read_text()[-2000:]}")
            time.sleep(0.02)
        bound = json.loads(ports.read_text())
        yield (started := Service(process, bound["grpc_port"], bound.get("metrics_port", 0)))
        started.stop()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def serving(data_dir: Path, registry: str, environment: Mapping[str, str] | None = None) -> Iterator[Service]:
    """A serving replica (or host of several workers) on the server's core, once it is ready; see `service`.

    Raises:
        TimeoutError: it was not ready in time.
    """
    settings = {
        "MARTLET_SERVING_GRPC_PORT": "0",
        "MARTLET_SERVING_METRICS_PORT": "0",
        "MARTLET_SERVING_REGISTRY": registry,
        **(environment or {}),
    }
    command = [sys.executable, "-m", "serving_svc", "--data-dir", str(data_dir)]
    with service(command, settings, SERVER_CORE) as started:
        deadline = time.monotonic() + _START_SECONDS
        while not is_ready(started):
            if time.monotonic() > deadline:
                raise TimeoutError("serving is not ready")
            time.sleep(0.05)
        yield started


def is_ready(served: Service) -> bool:
    """What `/ready` says."""
    try:
        urlopen(f"http://127.0.0.1:{served.metrics_port}/ready", timeout=5).close()
    except OSError:
        return False
    return True


@contextmanager
def registry_with(data_dir: Path, versions: Sequence[Versions]) -> Iterator[Service]:
    """A registry where the first snapshot of each model is head and pin."""
    settings = {
        "MARTLET_REGISTRY_GRPC_PORT": "0",
        "MARTLET_REGISTRY_METRICS_PORT": "0",
        "MARTLET_REGISTRY_QUALITY": "health",
    }
    command = [sys.executable, "-m", "registry_svc", "--data-dir", str(data_dir)]
    with service(command, settings, core=1 - SERVER_CORE) as registry:
        asyncio.run(_publish(registry.address, [made.snapshot() for made in versions]))
        yield registry


async def _publish(address: str, manifests: Sequence[Manifest]) -> None:
    client = RegistryClient(address)
    for manifest in manifests:
        record = await client.publish(encode_manifest(manifest))
        print(f"{manifest.model}: version {record.version} is {record.state.name}", record.reason)  # noqa: T201
    await client.close()
