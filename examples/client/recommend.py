"""From an event loop: announce items, recommend, tell what the user did. `python -m examples.client.recommend`."""

import asyncio
import sys

from martlet.client import ServingClient
from martlet.item_filter import All, Between, Not, equals

ITEMS = {
    "kettle": {"item.price": 30.0, "item.brand": "acme"},
    "teapot": {"item.price": 45.0, "item.brand": "acme"},
    "samovar": {"item.price": 400.0, "item.brand": "tula"},
}


async def main(address: str, model: str) -> None:
    """Calls the replicas behind an address, such as `dns:///martlet-serving:8500`."""
    async with ServingClient(address) as client:
        await client.upsert_items(model, ITEMS)
        affordable = All((Between("item.price", high=100.0), Not(equals("item.brand", "tula"))))
        answer = await client.recommend(model, "ann", 2, {"hour": 13.0}, only=affordable, exclude=["samovar"])
        for item in answer.items:
            print(f"{item.item_id}: {item.score:.3f}")
        await answer.clicked(answer.items[0].item_id)
        print(f"version {answer.version} answered; the click is on disk")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if sys.argv[1:] else "localhost:8500", sys.argv[2] if sys.argv[2:] else "shop"))
