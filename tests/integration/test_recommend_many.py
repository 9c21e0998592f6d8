"""Recommend over more items than are ranked: retrieval must bring what ranking them all would choose."""

from pathlib import Path

import numpy as np

from martlet.feature_encoding import RankInput, Value, encode
from martlet.item_filter import Between
from martlet.manifest import spec_digest
from tests.integration.test_serving import MODEL, World
from tests.unit.core.samples import SPEC
from tests.unit.serving.fakes import until

ITEMS = 500
CONTEXT: dict[str, Value] = {"hour": 1.0, "recent_items": [5, 6]}


async def test_the_answer_is_that_of_ranking_everything(tmp_path: Path) -> None:
    """50 items are ranked at most; the model is bilinear, so retrieval has no excuse."""
    world = World(tmp_path)
    world.trainer = type(world.trainer)(world.trainer.store, buckets=1024)
    random = np.random.default_rng(4)
    for item in range(ITEMS):
        world.trainer.learn("item", item, list(random.normal(size=4)))
    for user in range(8):
        world.trainer.learn("user", user, list(random.normal(size=4)))
    prices = {item: float(random.random()) for item in range(ITEMS)}
    dear = [item for item, price in prices.items() if price >= 0.5]
    await world.start()
    world.publish()
    world.aspire(1, head=1, pin=1)
    await world.answered_by(1)
    await world.client.upsert_items(MODEL, {item: {"item.price": price} for item, price in prices.items()})
    await until(lambda: ready(world) == ITEMS, seconds=20)
    for user in range(8):
        logits = logits_of(world, user, prices)
        for only, allowed in ((None, list(prices)), (Between("item.price", 0.5), dear)):
            best = sorted(allowed, key=lambda item: -logits[item])[:5]
            answer = await world.client.recommend(MODEL, user, 5, CONTEXT, only=only)
            assert [item.item_id for item in answer.items] == best
        order = sorted(prices, key=lambda item: -logits[item])
        answer = await world.client.recommend(MODEL, user, 5, CONTEXT, exclude=order[:300])
        assert [item.item_id for item in answer.items] == order[300:305]
    await world.stop()


def ready(world: World) -> int:
    vectors = world.app.retriever.vectors(MODEL, spec_digest(SPEC))
    return 0 if vectors is None else int(vectors.ready.sum())


def logits_of(world: World, user: int, prices: dict[int, float]) -> list[float]:
    values: list[dict[str, Value]] = [{"item.price": price} for price in prices.values()]
    block = encode(SPEC, RankInput(user, CONTEXT, list(prices), values))
    return [float(logit) for logit in world.trainer.logits(block)]
