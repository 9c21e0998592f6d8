"""`python -m benchmarks.learning.freshness`: from a user's click to the first answer to that user that knows of it.

The three services run as processes of their own with their settings as they come, but for the lane's share, which does
not wait for evidence here. A user whom the live lane answers asks for an order, clicks, and asks again every few
milliseconds until a score of the clicked item has changed. Nothing else is learned meanwhile, so that nothing but the
click can change it. Clicks come at random moments of the publishing interval.
"""

import asyncio
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.figures import Figures, at_most
from examples.demo.processes import Services
from martlet.client.answer import Answer
from martlet.client.channel import CallPolicy
from martlet.client.serving import ServingClient
from martlet.events import Arm
from martlet.versions import VersionState

SETTINGS: Final = {
    "MARTLET_TRAINER_MODEL": "benchmarks.learning.click_model:MODEL",
    "MARTLET_REGISTRY_QUALITY": "health",
}
MODEL: Final = "clicks"
ITEMS: Final = range(1, 21)
ASKED_EVERY: Final = 0.01
PATIENCE: Final = 20.0
PATIENT: Final = CallPolicy(timeout=60.0, tries=120, backoff=0.05)


@dataclass(frozen=True, slots=True)
class Size:
    """How many clicks."""

    clicks: int = 100


QUICK: Final = Size(clicks=12)
FULL: Final = Size()


def freshness(figures: Figures, size: Size) -> None:
    """Median and 95th percentile, in seconds."""
    with tempfile.TemporaryDirectory(prefix="martlet-fresh-") as name:
        services = Services(Path(name), SETTINGS)
        try:
            for service in ("registry", "serving", "trainer"):
                services.start(service)
            waits = asyncio.run(_clicks(services.running["serving"].address, size.clicks))
        finally:
            services.stop_all()
    figures.add("freshness.clicks_answered", float(np.isfinite(waits).mean()), "share")
    figures.add("freshness.click_to_answer_s", float(np.quantile(waits, 0.95)), "s, 95th percentile", at_most(2.0))
    figures.add("freshness.click_to_answer_median_s", float(np.median(waits)), "s")


async def _clicks(address: str, count: int) -> list[float]:
    """Seconds from each acknowledged click to the answer that knows it; infinite if none came."""
    random = np.random.default_rng(8)
    async with ServingClient(address, policy=PATIENT) as serving:
        await _until_it_serves(serving)
        await _learn_something(serving)
        waits = list[float]()
        for user in range(1_000, 1_000_000):
            answer = await serving.rank(MODEL, user, ITEMS)
            if answer.arm is not Arm.LIVE:
                continue
            waits.append(await _wait_for(serving, user, answer, int(random.choice(ITEMS))))
            if len(waits) == count:
                break
            await asyncio.sleep(float(random.random()))
    return waits


async def _until_it_serves(serving: ServingClient) -> None:
    while not any(  # noqa: ASYNC110  what it waits for is the state of another process
        status.model == MODEL and status.state is VersionState.READY for status in await serving.status()
    ):
        await asyncio.sleep(0.1)


async def _learn_something(serving: ServingClient) -> None:
    """A first few clicks, until the lane answers: a model that has learned nothing has nothing to publish."""
    end = time.monotonic() + PATIENCE
    for user in range(1, 1_000):
        answer = await serving.rank(MODEL, user, ITEMS)
        if answer.arm is Arm.LIVE or time.monotonic() > end:
            return
        await answer.clicked(answer.items[0].item_id)
        await asyncio.sleep(0.1)


async def _wait_for(serving: ServingClient, user: int, before: Answer, item: int) -> float:
    await before.clicked(item)
    clicked = time.monotonic()
    while time.monotonic() < clicked + PATIENCE:
        answer = await serving.rank(MODEL, user, ITEMS)
        if answer.arm is Arm.LIVE and _logit(answer, item) != _logit(before, item):
            return time.monotonic() - clicked
        await asyncio.sleep(ASKED_EVERY)
    return float("inf")


def _logit(answer: Answer, item: int) -> float:
    return next(one.logit for one in answer.items if one.item_id == item)


def main() -> None:
    """Prints the figures and writes out/bench/learning-freshness.json."""
    figures = Figures()
    freshness(figures, QUICK if os.environ.get("QUICK", "") not in {"", "0"} else FULL)
    figures.write(Path("out/bench/learning-freshness.json"))


if __name__ == "__main__":
    main()
