"""From threads: rank candidates of one's own, and record a rating. `python -m examples.client.rank_from_threads`."""

import sys
from concurrent.futures import ThreadPoolExecutor

from martlet.client import BlockingServingClient, CallPolicy


def main(address: str, model: str) -> None:
    """One client is enough for all threads. A call takes half a second at most, its retries included."""
    with (
        BlockingServingClient(address, policy=CallPolicy(timeout=0.5)) as client,
        ThreadPoolExecutor(4) as threads,
    ):

        def best_of(user: int) -> str:
            answer = client.rank(model, user, {"kettle": {"item.price": 28.0}, "teapot": {}}, {"recent_items": [1, 2]})
            best = answer.items[0]
            answer.record(best.item_id, "rating", 4.0)
            return f"user {user}: {best.item_id} ({best.score:.3f}), by version {answer.version}"

        for line in threads.map(best_of, range(4)):
            print(line)


if __name__ == "__main__":
    main(sys.argv[1] if sys.argv[1:] else "localhost:8500", sys.argv[2] if sys.argv[2:] else "shop")
