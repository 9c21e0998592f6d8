"""Requests a second and CPU a request: Martlet with all it does (routing, metrics, health) against bare floors.

`python -m benchmarks.serving.throughput` (QUICK=1: a short form). Servers stand on one core, the load on the other;
servers take turns within each repeat, and medians are told. CPU is user and system time of all the server's processes.
"""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from prometheus_client import CollectorRegistry

import martlet.learn as ml
from benchmarks.figures import Figures, at_least, at_most
from benchmarks.serving import stage
from benchmarks.serving.load import Job, Load, Outcome
from martlet.artifacts import FolderStore
from martlet.manifest import Manifest, encode_manifest, manifest_digest
from martlet.runtime.config import Config
from martlet.runtime.metrics import RpcMetrics
from serving_svc.health_meter import HealthMeter, HealthMetrics
from serving_svc.onnx_loader import OnnxLoaders
from serving_svc.servable import ServableId
from serving_svc.tables_here import table_views
from trainer_svc.made_up import made_up_block

INFER: Final = "/inference.GRPCInferenceService/ModelInfer"
RANK: Final = "/martlet.v1.ServingService/Rank"
ROWS: Final = 100
DEADLINE_SECONDS: Final = 0.25


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    repeats: int
    seconds: float


QUICK: Final = Size(repeats=1, seconds=1.0)
FULL: Final = Size(repeats=5, seconds=4.0)


@dataclass(frozen=True, slots=True)
class Sample:
    """One window."""

    outcome: Outcome
    cpu: float

    @property
    def cpu_ms(self) -> float:
        """CPU milliseconds of an answered request."""
        return 1e3 * self.cpu / max(self.outcome.answered, 1)


@dataclass(frozen=True, slots=True)
class Scene:
    """What stands while it is measured.

    Attributes:
        payloads: files with requests, by name.
        snapshot: the packed model's version.
    """

    load: Load
    echo: stage.Service
    one: stage.Service
    two: stage.Service
    payloads: Mapping[str, Path]
    data_dir: Path
    snapshot: Manifest

    def window(
        self, server: stage.Service, method: str, payload: str, concurrency: int, seconds: float, rate: float = 0.0
    ) -> Sample:
        """A measured window; with a rate, an open loop with a deadline."""
        timeout = DEADLINE_SECONDS if rate else 0.0
        job = Job(server.address, method, str(self.payloads[payload]), concurrency, seconds, rate=rate, timeout=timeout)
        before = stage.cpu_seconds(server.pids())
        outcome = self.load.run(job)
        return Sample(outcome, stage.cpu_seconds(server.pids()) - before)


def throughput(figures: Figures, size: Size) -> None:
    """All figures of this module."""
    with scene() as standing:
        measure(figures, standing, size)


def measure(figures: Figures, standing: Scene, size: Size) -> None:
    """All figures, on a scene that stands and has answered nothing yet."""
    memory(figures, standing)
    one_row(figures, standing, size)
    other_calls(figures, standing, size)
    hundred_rows(figures, standing, size)
    overload(figures, standing, size)


def memory(figures: Figures, scene: Scene) -> None:
    """Resident memory of a worker that has answered nothing; the mapped table is counted with it."""
    figures.add("memory.idle_rss_mb_worker", stage.rss_mb(scene.one.process.pid), "MB", at_most(120))
    workers = [pid for pid in scene.two.pids() if b"--role\0worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    figures.add("memory.idle_pss_mb_worker_of_two", statistics.mean(map(stage.pss_mb, workers)), "MB")


def one_row(figures: Figures, scene: Scene, size: Size) -> None:
    """One-row ModelInfer at 32 and at 1 requests under way, against an echo of the same sizes.

    Two workers get 32 each: what a request costs depends on how many share a run.
    """
    echoes, ones, twos, alone = [], [], [], []
    for _ in range(size.repeats):
        echoes.append(scene.window(scene.echo, INFER, "packed-infer-1", 32, size.seconds))
        ones.append(scene.window(scene.one, INFER, "packed-infer-1", 32, size.seconds))
        twos.append(scene.window(scene.two, INFER, "packed-infer-1", 64, size.seconds))  # 32 each
        alone.append(scene.window(scene.one, INFER, "packed-infer-1", 1, size.seconds))
    ratios = [one.outcome.rate / echo.outcome.rate for one, echo in zip(ones, echoes, strict=True)]
    cpu = median(one.cpu_ms for one in ones)
    figures.add("throughput.echo_rps_c32", median(echo.outcome.rate for echo in echoes), "req/s")
    figures.add("throughput.echo_cpu_ms_c32", median(echo.cpu_ms for echo in echoes), "ms")
    figures.add("throughput.rps_c32_1row", median(one.outcome.rate for one in ones), "req/s")
    figures.add("throughput.echo_ratio_c32_1row", median(ratios), "", at_least(0.8))
    figures.add("throughput.cpu_ms_c32_1row", cpu, "ms", at_most(0.20))
    figures.add("throughput.two_workers_cpu_ratio", median(two.cpu_ms for two in twos) / cpu, "", at_most(1.1))
    figures.add("latency.p50_ms_c1", median(sample.outcome.p50_ms for sample in alone), "ms", at_most(0.6))
    figures.add("metrics.cost_share", _metrics_ms() / cpu, "", at_most(0.03))


def other_calls(figures: Figures, scene: Scene, size: Size) -> None:
    """The same model asked by `Rank` (with its prediction record), and a model whose request has 21 tensors."""
    for name, method in (("packed-rank-1", RANK), ("named-infer-1", INFER), ("named-rank-1", RANK)):
        samples = [scene.window(scene.one, method, name, 32, size.seconds) for _ in range(size.repeats)]
        label = name.removesuffix("-1").replace("-", "_")
        target = at_most(0.20) if name == "packed-rank-1" else None
        figures.add(f"throughput.cpu_ms_c32_1row_{label}", median(s.cpu_ms for s in samples), "ms", target)


def hundred_rows(figures: Figures, scene: Scene, size: Size) -> None:
    """Requests of 100 rows, against the same rows in a bare onnxruntime session."""
    samples, bare = [], []
    for _ in range(size.repeats):
        samples.append(scene.window(scene.one, INFER, "packed-infer-100", 32, size.seconds))
        bare.append(_bare_rows_a_second(scene, size.seconds / 2))
    rows = median(ROWS * sample.outcome.answered / sample.cpu for sample in samples)
    figures.add("throughput.rps_c32_100rows", median(s.outcome.rate for s in samples), "req/s", at_least(1100))
    figures.add("throughput.ort_ratio_100rows", rows / median(bare), "", at_least(0.8))


def overload(figures: Figures, scene: Scene, size: Size) -> None:
    """`Rank` of 100 candidates at twice what can be answered, each with a deadline of 250 ms."""
    goodputs, late = [], []
    for _ in range(size.repeats):
        peak = scene.window(scene.one, RANK, "named-rank-100", 32, size.seconds).outcome.rate
        both = scene.window(scene.one, RANK, "named-rank-100", 0, 2 * size.seconds, rate=2 * peak)
        goodputs.append(both.outcome.answered / (2 * size.seconds) / peak)
        late.append(both.outcome.p99_ms / (DEADLINE_SECONDS * 1e3))
    figures.add("overload.goodput_ratio", median(goodputs), "", at_least(0.9))
    figures.add("overload.accepted_p99_within_deadline", median(late), "of the deadline", at_most(1.02))


@contextmanager
def scene() -> Iterator[Scene]:
    """Registry, versions, echo, a replica alone and a host of two workers; all end with the block."""
    with tempfile.TemporaryDirectory(prefix="martlet-bench-") as folder:
        data_dir = Path(folder)
        made = [stage.Versions(model, data_dir) for model in (stage.packed_model(), stage.named_model())]
        for versions in made:
            versions.learn()
        payloads = dict(_payloads(data_dir, [versions.model for versions in made]))
        echo = [sys.executable, "-m", "benchmarks.serving.echo", "--reply-bytes", "158"]
        two = {"MARTLET_SERVING_WORKERS": "2", "MARTLET_SERVING_REPLICA": "two"}
        with (
            stage.registry_with(data_dir, made) as registry,
            stage.service(echo, core=stage.SERVER_CORE) as floor,
            stage.serving(data_dir, registry.address) as alone,
            stage.serving(data_dir, registry.address, two) as host,
            Load(1 - stage.SERVER_CORE) as load,
        ):
            yield Scene(load, floor, alone, host, payloads, data_dir, made[0].newest)


def median(values: Iterator[float] | Sequence[float]) -> float:
    """Of the repeats."""
    return statistics.median(values)


def _payloads(folder: Path, models: Sequence[ml.Model]) -> Iterator[tuple[str, Path]]:
    random = np.random.default_rng(1)
    for model in models:
        for rows in (1, ROWS):
            block = made_up_block(model.spec, random, rows, users=1)
            for kind, data in (
                ("infer", stage.infer_request(model, block)),
                ("rank", stage.rank_request(model, rows)),
            ):
                path = folder / f"{model.name}-{kind}-{rows}"
                path.write_bytes(data)
                yield path.name, path


def _bare_rows_a_second(scene: Scene, seconds: float) -> float:
    """Rows that one thread scores in a CPU second, without a server, in runs of 100."""
    config = Config(data_dir=scene.data_dir)
    with tempfile.TemporaryDirectory() as folder:
        tables = table_views(config, Path(folder) / "tables")
        loaders = OnnxLoaders(FolderStore(config.artifact_dir), tables, Path(folder), intra_op_threads=1)
        digest = manifest_digest(encode_manifest(scene.snapshot))
        loader = loaders.loader(ServableId(scene.snapshot.model, 1, digest))
        servable = loader.load()
        block = made_up_block(servable.spec, np.random.default_rng(1), ROWS, users=1)
        end, rows, started = time.perf_counter() + seconds, 0, time.process_time()
        while time.perf_counter() < end:
            servable.predict(block)
            rows += ROWS
        taken = time.process_time() - started
        del servable
        loader.unload()
    return rows / taken


def _metrics_ms(calls: int = 100_000) -> float:
    """What counting one answered request costs: duration by method and code, answers and seconds by version."""
    registry = CollectorRegistry()
    duration = RpcMetrics(registry, "serving").duration("/a/B", "OK")
    health = HealthMeter(HealthMetrics(registry)).of(ServableId("m", 1, "d"))
    started = time.process_time()
    for _ in range(calls):
        health.answered(0.001)
        duration.observe(0.001)
    return (time.process_time() - started) / calls * 1e3


def main() -> None:
    """Measures, and writes out/bench/serving_throughput.json."""
    quick = os.environ.get("QUICK", "") not in {"", "0"}
    figures = Figures()
    throughput(figures, QUICK if quick else FULL)
    figures.write(Path("out/bench/serving_throughput.json"))


if __name__ == "__main__":
    main()
