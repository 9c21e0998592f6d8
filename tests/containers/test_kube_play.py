"""The dev overlay's own pods, run by podman: from a visit to a promoted version, and a roll that nobody notices.

What podman does not do is played by `tests.containers.played_cluster`, which says what that is.
"""

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from urllib.request import urlopen

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from martlet.client.registry import RegistryClient
from martlet.client.serving import ServingClient
from martlet.errors import MartletError
from martlet.versions import LineageState
from tests.containers.images import Images
from tests.containers.played_cluster import READY_SECONDS, PlayedCluster
from tests.containers.podman import Podman
from tests.deploy.rendered import container, ports, rendered

REPLICAS = (0, 1)
COMPONENTS = ("registry", "serving", "trainer")
LEARN_SECONDS = 120.0
MOST_VISITS = 20_000  # the load ends by itself, whatever else happens
WISHES = {"light": "lamp", "drink": "mug", "read": "book"}
ITEMS = {
    number: f"{colour} {thing}"
    for number, (colour, thing) in enumerate(itertools.product(("red", "blue"), WISHES.values()))
}


@pytest.fixture(scope="module")
def cluster(podman: Podman, images: Images, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlayedCluster]:
    """The overlay as it is applied: its tests build on one another, in order."""
    cluster = PlayedCluster(podman, images, rendered("dev"), tmp_path_factory.mktemp("played"))
    try:
        for component in COMPONENTS:
            for number in REPLICAS if component == "serving" else (0,):
                cluster.start(component, number)
        yield cluster
    finally:
        cluster.close()


async def test_pods_become_ready_by_their_probes(cluster: PlayedCluster) -> None:
    for component in COMPONENTS:
        for number in REPLICAS if component == "serving" else (0,):
            await ready(cluster, component, number)


@pytest.mark.parametrize("component", COMPONENTS)
async def test_a_pod_may_do_what_the_manifest_says_and_no_more(cluster: PlayedCluster, component: str) -> None:
    status = dict(line.split(":", 1) for line in cluster.run_in(component, "cat", "/proc/1/status").splitlines())
    assert status["Uid"].split() == ["65532"] * 4
    assert {int(status[name], 16) for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert (status["NoNewPrivs"].strip(), status["Seccomp"].strip()) == ("1", "2")
    assert "Read-only file system" in cluster.run_in(component, "touch", "/opt/venv/x")
    limit = container(rendered("dev").pods()[component])["resources"]["limits"]["memory"]
    assert cluster.inspected(component)["HostConfig"]["Memory"] == int(limit.removesuffix("Gi")) << 30


async def test_what_visitors_do_is_learned_published_and_promoted(cluster: PlayedCluster) -> None:
    async with visits(cluster) as load, registry(cluster) as client:
        await load.client.upsert_items(
            "shop", {n: {"item.title": title, "item.price": 5.0 + n} for n, title in ITEMS.items()}
        )
        stands = await until(client, lambda lineage: lineage.pin_version >= 2)
        answer = await load.client.rank("shop", 1, list(ITEMS), {"wish": "light"})
    assert stands.head_version >= stands.pin_version
    assert answer.version > 1
    assert len(answer.items) == len(ITEMS)


async def test_a_roll_under_load_fails_no_request(cluster: PlayedCluster) -> None:
    """From the highest number down, the next when this one is ready: as a StatefulSet rolls."""
    async with visits(cluster) as load:
        await load.goes_on()
        for number in reversed(REPLICAS):
            await asyncio.to_thread(cluster.end, "serving", number)
            await load.goes_on()
            await asyncio.to_thread(cluster.start, "serving", number)
            await ready(cluster, "serving", number)
            await load.goes_on()
        assert await asyncio.to_thread(_answered, cluster, 1) > 0, (
            "the first new pod was found when the second old one went"
        )
    assert load.failures == []
    async with visits(cluster) as anew:
        await anew.goes_on()
    assert all([await asyncio.to_thread(_answered, cluster, number) > 0 for number in REPLICAS])


async def test_a_trainer_that_was_killed_goes_on_where_it_was(cluster: PlayedCluster) -> None:
    """Its volume outlives it; answers do not depend on it."""
    async with visits(cluster) as load, registry(cluster) as client:
        before = await client.lineage("shop")
        await asyncio.to_thread(cluster.kill, "trainer")
        await load.goes_on()
        await asyncio.to_thread(cluster.start, "trainer")
        await ready(cluster, "trainer", 0)
        after = await until(client, lambda lineage: lineage.head_version > before.head_version)
    assert load.failures == []
    assert after.epoch == before.epoch


async def ready(cluster: PlayedCluster, component: str, number: int) -> None:
    """Asks the manifest's readiness probe, as the kubelet would, until it is content."""
    pod, address = rendered("dev").pods()[component], await asyncio.to_thread(cluster.address, component, number)
    probe = container(pod)["readinessProbe"]
    question = health_pb2.HealthCheckRequest(service=probe["grpc"].get("service", ""))
    async with grpc.aio.insecure_channel(f"{address}:{probe['grpc']['port']}") as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        try:
            async with asyncio.timeout(READY_SECONDS):
                while not await _content(stub, question, probe["timeoutSeconds"]):  # noqa: ASYNC110  likewise
                    await asyncio.sleep(0.2)
        except TimeoutError:
            pytest.fail(f"{component}-{number} is not ready: {cluster.log(component, number)}")


async def _content(stub: health_pb2_grpc.HealthStub, question: health_pb2.HealthCheckRequest, seconds: float) -> bool:
    with suppress(grpc.aio.AioRpcError):
        return bool((await stub.Check(question, timeout=seconds)).status == health_pb2.HealthCheckResponse.SERVING)
    return False


class Visits:
    """Visitors who come one after another, each shown all items, most of them clicking on what answers their wish."""

    def __init__(self, client: ServingClient) -> None:
        self.client = client
        self.answered = 0
        self.failures: list[str] = []
        self._chance = random.Random(7)

    async def goes_on(self, visits: int = 40) -> None:
        """Waits until so many more were answered."""
        wanted = self.answered + visits
        async with asyncio.timeout(60):
            while self.answered < wanted:  # noqa: ASYNC110  counted by other tasks
                await asyncio.sleep(0.05)

    async def come(self) -> None:
        """They come until this is cancelled. Before the first version there is nothing to show."""
        while not await self._shown():  # noqa: ASYNC110  another process makes it
            await asyncio.sleep(0.5)
        for _ in range(MOST_VISITS):
            try:
                await self._visit()
            except MartletError as error:
                self.failures.append(f"{type(error).__name__}: {error}")
            else:
                self.answered += 1
            await asyncio.sleep(0.01)

    async def _shown(self) -> bool:
        with suppress(MartletError):
            await self.client.rank("shop", 1, [1])
            return True
        return False

    async def _visit(self) -> None:
        user, wish = self._chance.randrange(20), self._chance.choice(list(WISHES))
        answer = await self.client.rank("shop", user, list(ITEMS), {"wish": wish})
        for item, title in ITEMS.items():
            if self._chance.random() < (0.8 if WISHES[wish] in title else 0.05):
                await answer.clicked(item)


@asynccontextmanager
async def visits(cluster: PlayedCluster) -> AsyncIterator[Visits]:
    """Visits through the headless service's name, balanced by the client."""
    port = ports(rendered("dev").pods()["serving"])["grpc"]
    async with ServingClient(cluster.target("serving", port)) as client:
        load = Visits(client)
        running = [asyncio.create_task(load.come()) for _ in range(4)]
        try:
            yield load
        finally:
            for task in running:
                task.cancel()
            ended = await asyncio.gather(*running, return_exceptions=True)
        for error in ended:
            if isinstance(error, Exception):
                raise error


@asynccontextmanager
async def registry(cluster: PlayedCluster) -> AsyncIterator[RegistryClient]:
    client = RegistryClient(cluster.target("registry", ports(rendered("dev").pods()["registry"])["grpc"]))
    yield client
    await client.close()


async def until(client: RegistryClient, holds: Callable[[LineageState], bool]) -> LineageState:
    """The model's lineage, once it is so."""
    async with asyncio.timeout(LEARN_SECONDS):
        while not holds(lineage := await client.lineage("shop")):  # noqa: ASYNC110  another process moves it
            await asyncio.sleep(0.2)
    return lineage


def _answered(cluster: PlayedCluster, number: int) -> float:
    """Rank calls that a replica has answered, by its own metrics."""
    port = ports(rendered("dev").pods()["serving"])["metrics"]
    with urlopen(f"http://{cluster.address('serving', number)}:{port}/metrics") as page:
        lines = page.read().decode().splitlines()
    name = "martlet_serving_rpc_duration_seconds_count"
    return sum(
        float(line.split()[-1]) for line in lines if line.startswith(name) and "/Rank" in line and '"OK"' in line
    )
