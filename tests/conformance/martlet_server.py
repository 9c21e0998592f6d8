"""A registry and a serving replica as processes, with models that echo every datatype: what the kit is run against."""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from onnx import TensorProto, helper

from martlet.artifacts import FolderStore
from martlet.client.health import Health, health_of
from martlet.client.registry import BlockingRegistryClient
from martlet.feature_spec import FeatureSpec
from martlet.manifest import Learned, Lineage, Manifest, Provenance, VersionKind, encode_manifest
from martlet.signature import Signature, TensorSpec
from martlet.table_blobs import encode_dense

Dim = int | str
TYPES: Final[Mapping[str, int]] = {
    "bool": TensorProto.BOOL,
    "uint8": TensorProto.UINT8,
    "uint16": TensorProto.UINT16,
    "uint32": TensorProto.UINT32,
    "uint64": TensorProto.UINT64,
    "int8": TensorProto.INT8,
    "int16": TensorProto.INT16,
    "int32": TensorProto.INT32,
    "int64": TensorProto.INT64,
    "float16": TensorProto.FLOAT16,
    "bfloat16": TensorProto.BFLOAT16,
    "float32": TensorProto.FLOAT,
    "float64": TensorProto.DOUBLE,
    "string": TensorProto.STRING,
}
RAW_ONLY: Final = ("float16", "bfloat16")
# FP16 and BF16 have no typed form, and one request is all raw or all typed: they make a model of their own.
ECHO, ECHO_HALF, ECHO_FLOAT = "echo", "echo_half", "echo_float"


def echo_specs(dtypes: Sequence[str]) -> tuple[TensorSpec, ...]:
    """An input of each dtype, named after it; float32 has a second, fixed dimension."""
    return tuple(TensorSpec(dtype, dtype, ("n", 2) if dtype == "float32" else ("n",)) for dtype in dtypes)


MODELS: Final[Mapping[str, tuple[TensorSpec, ...]]] = {
    ECHO: echo_specs([dtype for dtype in TYPES if dtype not in RAW_ONLY]),
    ECHO_HALF: echo_specs(RAW_ONLY),
    ECHO_FLOAT: (TensorSpec("x", "float32", ("n", 4)),),
}


def echo_graph(inputs: Sequence[TensorSpec]) -> bytes:
    """An ONNX model that gives each input back as `<name>_out`."""
    nodes = [helper.make_node("Identity", [spec.name], [f"{spec.name}_out"]) for spec in inputs]
    sources = [helper.make_tensor_value_info(spec.name, TYPES[spec.dtype], spec.dims) for spec in inputs]
    sinks = [helper.make_tensor_value_info(f"{spec.name}_out", TYPES[spec.dtype], spec.dims) for spec in inputs]
    graph = helper.make_graph(nodes, "echo", sources, sinks)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return model.SerializeToString()


def echo_manifest(store: FolderStore, model: str, inputs: Sequence[TensorSpec]) -> bytes:
    """A version without features: raw tensors alone reach it."""
    outputs = tuple(TensorSpec(f"{spec.name}_out", spec.dtype, spec.dims) for spec in inputs)
    manifest = Manifest(
        model=model,
        kind=VersionKind.SNAPSHOT,
        lineage=Lineage(f"{model}-1", "", 0, 1),
        learned=Learned({}, 0, 0, 0),
        graph=store.put(echo_graph(inputs)),
        dense=store.put(encode_dense({})),
        tables=(),
        signature=Signature(tuple(inputs), outputs),
        feature_spec=FeatureSpec((), {}),
        provenance=Provenance("0.1.0", "echo", ""),
    )
    encoded = encode_manifest(manifest)
    store.put_manifest(encoded)
    return encoded


@dataclass(slots=True)
class Processes:
    """Started services; ended in reverse order."""

    root: Path
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, service: str, **settings: str) -> str:
        """Starts one on free ports; gives its address."""
        ports = self.root / f"{service}.ports"
        prefix = f"MARTLET_{service.upper()}"
        environment = {**os.environ, f"{prefix}_GRPC_PORT": "0", f"{prefix}_METRICS_PORT": "0", **settings}
        command = [sys.executable, "-m", f"{service}_svc", "--data-dir", str(self.root), "--ports-file", str(ports)]
        with (self.root / f"{service}.log").open("wb") as log:
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        self.started.append(process)
        deadline = time.monotonic() + 60
        while not ports.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(
                    f"the {service} did not start:\n{(self.root / f'{service}.log').read_text()[-2000:]}"
                )
            time.sleep(0.02)
        told: dict[str, Any] = json.loads(ports.read_text())
        return f"127.0.0.1:{told['grpc_port']}"

    def stop(self) -> None:
        """Ends all."""
        for process in reversed(self.started):
            process.terminate()
        for process in self.started:
            process.wait(30)


@contextmanager
def served() -> Iterator[str]:
    """A replica that answers for all of `MODELS`; gives its address."""
    with tempfile.TemporaryDirectory(prefix="martlet-echo-") as folder:
        processes = Processes(Path(folder))
        try:
            registry = processes.start("registry")
            _publish(registry, FolderStore(Path(folder) / "artifacts"))
            address = processes.start("serving", MARTLET_SERVING_REGISTRY=registry)
            _wait_until_ready(Path(folder), address)
            yield address
        finally:
            processes.stop()


def _publish(registry: str, store: FolderStore) -> None:
    client = BlockingRegistryClient(registry)
    for model, inputs in MODELS.items():
        client.publish(echo_manifest(store, model, inputs))
    client.close()


def _wait_until_ready(folder: Path, address: str) -> None:
    deadline = time.monotonic() + 60
    while asyncio.run(health_of(address)) is not Health.SERVING:
        if time.monotonic() > deadline:
            raise RuntimeError(f"the models are not ready:\n{(folder / 'serving.log').read_text()[-2000:]}")
        time.sleep(0.05)


def main() -> None:
    """Serves until it is ended: `python -m tests.conformance.martlet_server`."""
    with served() as address:
        print(address, flush=True)
        with suppress(KeyboardInterrupt):
            while True:
                time.sleep(3600)


if __name__ == "__main__":
    main()
