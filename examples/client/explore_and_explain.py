"""An answer with chance in it, and why an item has its score. `python -m examples.client.explore_and_explain`."""

import asyncio
import sys

from martlet.client import ServingClient
from martlet.exploration import Exploration


async def main(address: str, model: str) -> None:
    """Calls one replica."""
    async with ServingClient(address) as client:
        candidates = ["kettle", "teapot", "samovar"]
        answer = await client.rank(model, "ann", candidates, exploration=Exploration(temperature=0.5))
        for item in answer.items:
            print(f"{item.item_id}: logit {item.logit:+.3f}, came to its place with probability {item.propensity:.3f}")
        explanation = await client.explain(model, "ann", "kettle", {"hour": 13.0}, permutations=1000)
        for part in explanation.contributions:
            print(f"{part.source}: {part.shapley:+.4f}")
        total = sum(part.shapley for part in explanation.contributions)
        print(f"together {total:+.4f} = {explanation.logit:+.4f} - {explanation.base_logit:+.4f}")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if sys.argv[1:] else "localhost:8500", sys.argv[2] if sys.argv[2:] else "shop"))
