"""From the publish of a delta on a large table to the first answer that knows it, through the real registry.

`python -m benchmarks.serving.live_delta` prints its figures.
"""

import asyncio
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc.aio
import numpy as np
import numpy.typing as npt

from benchmarks.figures import Figures, at_least, at_most
from benchmarks.serving.stage import (
    FIELDS,
    SERVER_CORE,
    Service,
    Versions,
    infer_request,
    packed_model,
    registry_with,
    rss_mb,
    serving,
)
from benchmarks.serving.watching_load import METHOD, WatchingLoad
from martlet.client.registry import RegistryClient
from martlet.feature_encoding import RankInput, encode
from martlet.feature_spec import FeatureBlock
from martlet.manifest import encode_manifest
from martlet.oip import open_inference_pb2 as oip
from trainer_svc.learner import Batch

BUCKETS: Final = 700_000  # 201 MB of keys and rows
IDS: Final = 2_600_000
SHARE: Final = 0.01
NOW_US: Final = 1_700_000_000_000_000
CHUNK: Final = 50_000
RATE: Final = 500.0
COMPARED: Final = 200


class LargeTable:
    """A model whose table is full of known ids."""

    def __init__(self, folder: Path) -> None:
        self.model = packed_model()
        self.versions = Versions(self.model, folder, BUCKETS)
        self._random = np.random.default_rng(5)
        for start in range(0, IDS, CHUNK * FIELDS):
            ids = np.arange(start, min(start + CHUNK * FIELDS, IDS), dtype=np.int64)
            self._learn(ids[: ids.shape[0] // FIELDS * FIELDS].reshape(-1, FIELDS))

    def touch(self) -> None:
        """Learns examples that touch a share of the rows, random ones."""
        count = int(IDS * SHARE) // FIELDS
        self._learn(self._random.choice(IDS // FIELDS * FIELDS, (count, FIELDS), replace=False).astype(np.int64))

    def block(self) -> FeatureBlock:
        """A request about known ids."""
        values = {"item.fields": [int(one) for one in self._random.integers(0, IDS // FIELDS * FIELDS, FIELDS)]}
        return encode(self.model.spec, RankInput(1, {}, [1], [values]))

    def _learn(self, ids: npt.NDArray[np.int64]) -> None:
        n, layout = ids.shape[0], self.model.spec.layout
        item_ids = np.zeros((n, layout.item_id_columns), np.int64)
        first = layout.first_column["fields"]
        item_ids[:, first], item_ids[:, first + 1 : first + 1 + FIELDS] = FIELDS, ids
        block = FeatureBlock(
            np.zeros((1, layout.user_id_columns), np.int64),
            np.zeros((1, layout.user_number_columns), np.float32),
            item_ids,
            np.zeros((n, layout.item_number_columns), np.float32),
            np.zeros(n, np.int64),
        )
        labels = self._random.choice(np.array([0.0, 1.0], np.float32), n, p=[0.7, 0.3])
        self.versions.learner.learn(Batch(block, labels, np.ones(n, np.float32)), NOW_US)


@dataclass(slots=True)
class Lived:
    """What came of a row of deltas."""

    waits_ms: list[float]
    extra_mb: list[float]
    delta_mb: list[float]
    failed: int
    equal: float


def live(figures: Figures, deltas: int) -> None:
    """Publishes deltas one after the other; in the end a full export of the same state beside them."""
    with tempfile.TemporaryDirectory(prefix="martlet-delta-") as name:
        folder = Path(name)
        large = LargeTable(folder)
        settings = {"MARTLET_SERVING_MAX_MEAN_LOGIT_SHIFT": "1000"}
        with (
            registry_with(folder, [large.versions]) as registry,
            serving(folder, registry.address, settings) as service,
        ):
            lived = asyncio.run(_live(large, folder, registry, service, deltas))
    figures.add("swap.table_mb", BUCKETS * 4 * (8 + 64) / 1e6, "MB")
    figures.add("swap.delta_mb", float(np.median(lived.delta_mb)), "MB")
    figures.add("swap.deltas_answered", len(lived.waits_ms), f"of {deltas}", at_least(deltas))
    figures.add("swap.publish_to_first_ms", float(np.median(lived.waits_ms)), "ms", at_most(100.0))
    figures.add("swap.publish_to_first_max_ms", max(lived.waits_ms), "ms")
    figures.add("swap.update_extra_mb", float(np.median(lived.extra_mb)), "MB", at_most(20.0))
    figures.add("swap.delta_failed", lived.failed, "requests", at_most(0))
    figures.add("swap.bit_equal", lived.equal, "of answers", at_least(1.0))


async def _live(large: LargeTable, folder: Path, registry: Service, service: Service, deltas: int) -> Lived:
    request = folder / "request.bin"
    request.write_bytes(infer_request(large.model, large.block()))
    await _answers(service.address, request.read_bytes())
    client, load = RegistryClient(registry.address), WatchingLoad(service.address, request, RATE, 1 - SERVER_CORE)
    lived, told = Lived([], [], [], 0, 0.0), dict[str, float]()
    await asyncio.sleep(2.0)
    for _ in range(deltas):
        large.touch()
        head = large.versions.delta(large.versions.newest)
        lived.delta_mb.append(head.tables[0].deltas[-1].size / 1e6)
        before, begun = rss_mb(service.process.pid), time.monotonic()
        record = await client.publish(encode_manifest(head))
        told[str(record.version)] = begun
        await asyncio.sleep(1.0)
        lived.extra_mb.append(rss_mb(service.process.pid) - before)
    seen = await asyncio.to_thread(load.end)
    lived.failed = seen.failed
    lived.waits_ms = [(seen.first[version] - begun) * 1e3 for version, begun in told.items() if version in seen.first]
    lived.equal = await _compare(client, service.address, large)
    await client.close()
    return lived


async def _compare(client: RegistryClient, address: str, large: LargeTable) -> float:
    """The share of answers in which the chain of deltas and a full export of the same state agree in every bit."""
    twin = Versions(packed_model("whole"), large.versions.data_dir, BUCKETS)
    twin.learner = large.versions.learner
    await client.publish(encode_manifest(twin.snapshot()))
    blocks = [large.block() for _ in range(COMPARED)]
    pairs = []
    for model in (large.model, twin.model):
        requests = [infer_request(model, block) for block in blocks]
        await _answers(address, requests[0])
        pairs.append([await _answers(address, request) for request in requests])
    return float(np.mean([one == other for one, other in zip(*pairs, strict=True)]))


async def _answers(address: str, request: bytes, patience: float = 60.0) -> list[bytes]:
    """The raw outputs, as soon as the model can be asked."""
    async with grpc.aio.insecure_channel(address) as channel:
        call: Any = channel.unary_unary(METHOD)
        end = time.monotonic() + patience
        while True:
            try:
                reply = await call(request, timeout=10)
                return list(oip.ModelInferResponse.FromString(reply).raw_output_contents)
            except grpc.aio.AioRpcError:
                if time.monotonic() > end:
                    raise
                await asyncio.sleep(0.1)


def measure(figures: Figures, *, quick: bool) -> None:
    """All of it."""
    live(figures, 5 if quick else 20)


if __name__ == "__main__":
    measure(Figures(), quick=True)
