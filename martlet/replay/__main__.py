"""`martlet replay DATASET`: sends a data set's events to serving, as users would."""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from rich.console import Console

from martlet.client.serving import ServingClient
from martlet.errors import MartletError
from martlet.replay.datasets import Dataset, interleaved, movielens_100k, synthetic
from martlet.replay.traffic import Traffic


def main(arguments: Sequence[str] | None = None) -> int:
    """0: every event was answered; 1: some were not; 2: it could not begin, told in one line."""
    parser = argparse.ArgumentParser(prog="martlet replay", description="A data set as live traffic.")
    parser.add_argument("dataset", choices=("movielens", "synthetic"))
    parser.add_argument("--data", type=Path, help="one's own copy of MovieLens 100K: a folder with the three files")
    parser.add_argument("--cache", type=Path, default=Path(".cache/datasets"), help="where a download is kept")
    parser.add_argument("--serving", default="127.0.0.1:8500", help="where serving answers")
    parser.add_argument("--order", choices=("interleaved", "time"), default="interleaved")
    parser.add_argument("--limit", type=int, help="at most so many events")
    parser.add_argument("--rate", type=float, default=500.0, help="events a second at most")
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--others", type=int, default=4, help="candidates beside the one that was rated")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    try:
        dataset = synthetic() if options.dataset == "synthetic" else movielens_100k(options.cache, options.data)
        result = asyncio.run(_replay(dataset, options))
    except (MartletError, OSError) as error:
        print(f"martlet replay: {error}", file=sys.stderr)  # noqa: T201  for whoever started it by hand
        return 2
    print(json.dumps(result) if options.json else _rendered(result))  # noqa: T201  the result
    return 0 if result["failed"] == 0 else 1


async def _replay(dataset: Dataset, options: argparse.Namespace) -> dict[str, float]:
    events = iter(dataset.ratings) if options.order == "time" else interleaved(dataset.ratings)
    total = min(options.limit or len(dataset.ratings), len(dataset.ratings))
    started = time.monotonic()
    async with ServingClient(options.serving) as serving:
        traffic = Traffic(serving, dataset, options.others, options.rate)
        sending = asyncio.create_task(traffic.run(islice(events, options.limit), options.concurrency))
        console = Console(stderr=True)
        with console.status("replaying") as status:
            while not sending.done():
                await asyncio.wait([sending], timeout=0.5)
                status.update(f"{traffic.answers.requests:,} of {total:,}, failed: {len(traffic.answers.failures)}")
        await sending
    seconds = time.monotonic() - started
    answers = traffic.answers
    return {
        "requests": answers.requests,
        "failed": len(answers.failures),
        "versions": len(set(answers.version)),
        "seconds": round(seconds, 2),
        "requests_per_s": round(answers.requests / seconds, 1),
    }


def _rendered(result: dict[str, float]) -> str:
    return (
        f"{result['requests']:,.0f} requests in {result['seconds']:.1f} s, {result['failed']:.0f} failed, "
        f"answered by {result['versions']:.0f} versions"
    )


if __name__ == "__main__":
    sys.exit(main())
