"""Recommend over very many items: how fast, how much of the true top it finds, what an item costs.

`python -m benchmarks.serving.recommend`; QUICK=1: with fewer examples and requests.
"""

import asyncio
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from benchmarks.figures import Figures, at_least, at_most
from benchmarks.serving.learned_shop import NAME, Shop, Version, learned_version
from benchmarks.serving.replica import Replica, replica_of
from martlet.client.serving import ServingClient
from martlet.errors import MartletError
from martlet.eventlog.file_log import FileEventWriter
from martlet.events import ItemUpsert
from martlet.feature_spec import FeatureBlock
from martlet.item_filter import In
from martlet.wire.events import encode_event

USERS: Final = 4000
K: Final = 10
HOUR: Final = 3
WARM_UP: Final = 200
SETTINGS: Final = {"MARTLET_SERVING_RETRIEVAL_REFRESH_SECONDS": "5"}
CHUNK: Final = 4096
MILLION: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured.

    Attributes:
        many: items of the large catalogue; requests: timed on it.
        learned: items of the catalogue whose recall is measured; judged: users that it is measured for.
    """

    many: int
    many_examples: int
    requests: int
    learned: int
    learned_examples: int
    judged: int


QUICK: Final = Size(
    many=1_000_000, many_examples=300_000, requests=200, learned=20_000, learned_examples=1_000_000, judged=50
)
FULL: Final = Size(
    many=1_000_000, many_examples=4_000_000, requests=2000, learned=20_000, learned_examples=4_000_000, judged=200
)


def recommend(figures: Figures, size: Size) -> None:
    """All figures of this module."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for net in ("deepfm", "dcn"):
            shop = Shop.of(USERS, size.learned)
            version = learned_version(shop, net, size.learned_examples, root / net)
            asyncio.run(_recall(figures, net, shop, version, root / net, size.judged))
        shop = Shop.of(USERS, size.many)
        version = learned_version(shop, "deepfm", size.many_examples, root / "many")
        asyncio.run(_latency(figures, shop, version, root / "many", size))


async def _recall(figures: Figures, net: str, shop: Shop, version: Version, root: Path, judged: int) -> None:
    _announce(shop, root)
    async with replica_of(NAME, version.digest, root, SETTINGS) as replica, ServingClient(replica.address) as client:
        await _refreshed(client, replica)
        users = np.arange(USERS - judged, USERS)
        shares = [await _share_found(client, shop, version, int(user)) for user in users]
        figures.add(f"recommend.recall_at_{K}.{net}", float(np.mean(shares)), "share", at_least(0.95))
        figures.add(f"recommend.recall_at_{K}_worst.{net}", float(np.min(shares)), "share")


async def _latency(figures: Figures, shop: Shop, version: Version, root: Path, size: Size) -> None:
    label = f"{size.many // MILLION}m" if size.many >= MILLION else f"{size.many // 1000}k"
    async with replica_of(NAME, version.digest, root, SETTINGS) as replica:
        empty = replica.resident_bytes
    _announce(shop, root)
    async with replica_of(NAME, version.digest, root, SETTINGS) as replica, ServingClient(replica.address) as client:
        await _refreshed(client, replica)
        figures.add("recommend.item_bytes", (replica.resident_bytes - empty) / size.many, "bytes", at_most(1500))
        took = replica.metric("martlet_serving_retrieval_refresh_seconds")
        figures.add(f"recommend.refresh_s_{label}", took, "s")
        plain = [await _timed(client, shop, user, {}) for user in range(size.requests)]
        figures.add(f"recommend.p50_ms_{label}", float(np.percentile(plain, 50)), "ms", at_most(15.0))
        figures.add(f"recommend.p99_ms_{label}", float(np.percentile(plain, 99)), "ms")
        narrow = {"only": In("item.kind", (3, 4, 5))}
        filtered = [await _timed(client, shop, user, narrow) for user in range(size.requests // 4)]
        figures.add(f"recommend.filtered_p50_ms_{label}", float(np.percentile(filtered, 50)), "ms")
        seen = {"exclude": range(5000)}
        excluding = [await _timed(client, shop, user, seen) for user in range(size.requests // 4)]
        figures.add(f"recommend.excluding_5000_p50_ms_{label}", float(np.percentile(excluding, 50)), "ms")
        shares = [await _share_found(client, shop, version, user) for user in range(USERS - 20, USERS)]
        figures.add(f"recommend.recall_at_{K}_{label}", float(np.mean(shares)), "share", at_least(0.95))


def _announce(shop: Shop, root: Path) -> None:
    """Writes the items into the event log, as another replica would have."""
    writer = FileEventWriter(root / "events", "catalogue")
    for item, (kind, price) in enumerate(zip(shop.kinds.tolist(), shop.prices.tolist(), strict=True)):
        payload = encode_event(ItemUpsert(NAME, item, {"item.kind": kind, "item.price": price}, 1 + item))
        while not writer.offer(payload):
            time.sleep(0.01)
    writer.close()


async def _refreshed(client: ServingClient, replica: Replica) -> None:
    """Waits until item vectors were made with recent users known."""
    async with asyncio.timeout(600):
        for user in range(WARM_UP):
            while True:
                with suppress(MartletError):
                    await client.recommend(NAME, user, K, {"hour": HOUR})
                    break
                await asyncio.sleep(0.2)
        name = "martlet_serving_retrieval_refreshes_total"
        before = np.nan_to_num(replica.metric(name))
        while not replica.metric(name) >= before + 2:  # noqa: ASYNC110  another process does it
            await asyncio.sleep(0.5)


async def _timed(client: ServingClient, shop: Shop, user: int, more: dict[str, object]) -> float:
    started = time.perf_counter()
    answer = await client.recommend(NAME, user % USERS, K, {"hour": HOUR}, **more)  # type: ignore[arg-type]
    took = time.perf_counter() - started
    assert len(answer.items) == K, f"{len(answer.items)} of {shop.items.shape[0]} items"
    return took * 1000


async def _share_found(client: ServingClient, shop: Shop, version: Version, user: int) -> float:
    """How many of the ranker's true best are answered."""
    answer = await client.recommend(NAME, user, K, {"hour": HOUR})
    logits = np.concatenate(list(_all_logits(shop, version, user)))
    best = set(np.argsort(-logits, kind="stable")[:K].tolist())
    return len(best & {item.item_id for item in answer.items}) / K


def _all_logits(shop: Shop, version: Version, user: int) -> Iterator[npt.NDArray[np.float32]]:
    for start in range(0, shop.items.shape[0], CHUNK):
        items = np.arange(start, min(start + CHUNK, shop.items.shape[0]))
        one = shop.block(np.array([user]), items[:1], HOUR)
        ids = np.column_stack([items, shop.kinds[items]]).astype(np.int64)
        rows = np.zeros(items.shape[0], np.int64)
        block = FeatureBlock(one.user_ids, one.user_numbers, ids, shop.prices[items, None], rows)
        yield version.servable.predict(block).logit


def main() -> None:
    """Measures and writes out/bench/recommend.json."""
    quick = os.environ.get("QUICK", "") not in {"", "0"}
    figures = Figures()
    recommend(figures, QUICK if quick else FULL)
    figures.write(Path("out/bench/recommend.json"))


if __name__ == "__main__":
    main()
