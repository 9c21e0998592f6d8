"""The three images as one loop on a shared volume: they learn, serve and end in order, and write nowhere else."""

import asyncio
import os
import re
import signal
import time
from collections.abc import Iterator
from itertools import islice

import pytest

from martlet.client.channel import CallPolicy
from martlet.client.registry import RegistryClient
from martlet.client.serving import ServingClient
from martlet.client.trainer import TrainerClient
from martlet.errors import MartletError
from martlet.replay.datasets import Dataset, interleaved, synthetic
from martlet.replay.traffic import MODEL, Traffic
from tests.containers.images import REPOSITORY, Images
from tests.containers.learning import learned, published, serves
from tests.containers.podman import Podman
from tests.containers.stage import Container, Stage

EVENTS = 400
CONCURRENCY = 8
WARM_REQUESTS = 32
MOST_REQUESTS = 800
CANDIDATES = 2000
# And not: refused before it was begun, as where no connection could be made.
LOST = re.compile("^(?!connections to all backends failing).*(socket closed|reset)", re.IGNORECASE | re.DOTALL)
SETTINGS = {
    "MARTLET_TLS_INSECURE": "true",
    "MARTLET_SERVING_REGISTRY": "registry:8510",
    "MARTLET_TRAINER_REGISTRY": "registry:8510",
    "MARTLET_TRAINER_MODEL": "examples.movielens.model:MODEL",
    "MARTLET_SERVING_DRAIN_SECONDS": "60",
    "MARTLET_TRAINER_PUBLISH_INTERVAL_MS": "300",
    "MARTLET_TRAINER_INITIAL_BUCKETS": "64",
}
ONCE = CallPolicy(timeout=20.0, tries=1)
PATIENT = CallPolicy(timeout=40.0, tries=400, backoff=0.02)


@pytest.fixture
def stage(podman: Podman) -> Iterator[Stage]:
    with Stage(podman) as stage:
        yield stage


@pytest.fixture
def services(stage: Stage, images: Images) -> dict[str, Container]:
    data = f"--volume={stage.volume()}:/var/lib/martlet"
    model = f"--volume={REPOSITORY / 'examples'}:/opt/martlet/models/examples:ro"
    started = {
        "registry": stage.start(images.registry, "registry", SETTINGS, (8510, 8512), data),
        "serving": stage.start(images.serving, "serving", SETTINGS, (8500, 8502), data),
        "trainer": stage.start(images.trainer, "trainer", SETTINGS, (8520, 8522), data, model),
    }
    for name, metrics_port in (("registry", 8512), ("trainer", 8522), ("serving", 8502)):
        started[name].ready(metrics_port)
    return started


async def test_the_loop_learns_serves_and_ends_in_order(services: dict[str, Container], podman: Podman) -> None:
    serving = ServingClient(services["serving"].address(8500), policy=PATIENT)
    dataset = synthetic(EVENTS)
    traffic = Traffic(serving, dataset, others=2, rate=200.0)
    await serves(serving)
    await traffic.run(islice(interleaved(dataset.ratings), EVENTS), CONCURRENCY)
    await serving.close()
    assert traffic.answers.failures == []
    await all_is_learned_and_published(services)
    for name, container in services.items():
        assert podman.attempt("healthcheck", "run", container.name).returncode == 0, name
    await ends_in_order_under_load(services["serving"], dataset)
    for name in ("trainer", "registry"):
        services[name].signal("TERM")
        assert services[name].exit_code() == 0, services[name].logs()


async def all_is_learned_and_published(services: dict[str, Container]) -> None:
    trainer = TrainerClient(services["trainer"].address(8520), policy=PATIENT)
    registry = RegistryClient(services["registry"].address(8510), policy=PATIENT)
    examples = await learned(trainer, EVENTS)
    async with asyncio.timeout(60):
        while await published(registry, MODEL) < examples:  # noqa: ASYNC110  another process publishes
            await asyncio.sleep(0.1)
    await asyncio.gather(trainer.close(), registry.close())


async def ends_in_order_under_load(serving: Container, dataset: Dataset) -> None:
    """SIGTERM: every request that was under way is answered; later ones are refused, not lost; exit code 0."""
    load = Load(serving.address(8500), dataset)
    first_process = await asyncio.to_thread(serving.pid)
    async with asyncio.timeout(120):
        workers = [asyncio.create_task(load.work()) for _ in range(CONCURRENCY)]
        await load.going.wait()
        os.kill(first_process, signal.SIGTERM)
        load.told_at = time.monotonic()
        await asyncio.gather(*workers)
    await load.close()
    assert load.answered_later > 0, "no request was under way"
    assert [why for why in load.refused if LOST.search(why)] == []
    assert await asyncio.to_thread(serving.exit_code) == 0, serving.logs()


class Load:
    """Requests of so many candidates that a signal comes while they are answered, one after the other in each worker.

    A worker ends when a request is refused.

    Attributes:
        going: enough were answered, and some are under way.
        told_at: when the signal was sent.
        answered_later: how many requests were sent before the signal and answered after it.
        refused: why, for each worker's last request.
    """

    def __init__(self, address: str, dataset: Dataset) -> None:
        self._client = ServingClient(address, policy=ONCE)
        attributes = next(iter(dataset.items.values()))
        self._candidates = dict.fromkeys(range(CANDIDATES), attributes)
        self._user = next(iter(dataset.users))
        self._answered = 0
        self.going = asyncio.Event()
        self.told_at = float("inf")
        self.answered_later = 0
        self.refused: list[str] = []
        self.close = self._client.close

    async def work(self) -> None:
        for _ in range(MOST_REQUESTS // CONCURRENCY):
            sent = time.monotonic()
            try:
                answer = await self._client.rank(MODEL, self._user, self._candidates, {})
            except MartletError as error:
                self.refused.append(str(error))
                return
            assert len(answer.items) == len(self._candidates)
            self._answered += 1
            self.answered_later += sent < self.told_at < time.monotonic()
            if self._answered == WARM_REQUESTS:
                self.going.set()
