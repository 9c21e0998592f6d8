"""What the golden releases were asked and told: a function of a number, so that anybody can go on with it."""

import asyncio

from martlet.client.serving import ServingClient
from martlet.events import Outcome
from martlet.feature_encoding import Value

MODEL = "golden"
ITEMS = 12
CONCURRENCY = 4


def context(number: int) -> dict[str, Value]:
    """Of the request of a number."""
    return {"hour": float(number % 24), "recent_items": [number % ITEMS, (number * 5) % ITEMS]}


def user(number: int) -> int | str:
    """Ids of both kinds."""
    return number % 7 if number % 2 else f"user-{number % 5}"


def candidates(number: int) -> list[int]:
    """Three items."""
    return [(number + 3 * k) % ITEMS for k in range(3)]


async def announce(serving: ServingClient) -> None:
    """The items, with a price each."""
    await serving.upsert_items(MODEL, {item: {"item.price": 5.0 + item} for item in range(ITEMS)})


async def send(serving: ServingClient, begin: int, end: int) -> None:
    """Requests begin .. end - 1, each with a rating of its first candidate; even users like even items."""
    numbers = iter(range(begin, end))

    async def worker() -> None:
        for number in numbers:
            answer = await serving.rank(MODEL, user(number), candidates(number), context(number))
            item = candidates(number)[0]
            liked = 5.0 if item % 2 == number % 2 else 1.0
            await serving.record_outcomes([Outcome(f"golden-{number}", answer.prediction_id, item, "rating", liked, 0)])
            await asyncio.sleep(0.005)

    await asyncio.gather(*(worker() for _ in range(CONCURRENCY)))


async def logits(serving: ServingClient, version: int) -> list[list[float]]:
    """Of five requests, by one version: the logits of the candidates in their order."""
    found = []
    for number in range(1000, 1005):
        answer = await serving.rank(MODEL, user(number), candidates(number), context(number), version=version)
        by_item = {item.item_id: item.logit for item in answer.items}
        found.append([by_item[item] for item in candidates(number)])
    return found
